package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Order is what the demo asks an application to do: calls through its sidecar.
type Order struct {
	Method      string            `json:"method"`
	URL         string            `json:"url"`
	Headers     map[string]string `json:"headers"`
	Requests    int               `json:"requests"`    // 1 where 0
	Concurrency int               `json:"concurrency"` // 1 where 0
	// Until keeps sending until /stop.
	Until bool `json:"until"`
}

// Tally is what came of the calls.
type Tally struct {
	Requests int            `json:"requests"`
	Status   map[int]int    `json:"status"`   // 0: no answer
	Versions map[string]int `json:"versions"` // of who answered 200
	Body     string         `json:"body"`     // of the last answer
	Flags    string         `json:"flags"`    // of the last answer's proxy, if it says
	Seconds  float64        `json:"seconds"`
	Error    string         `json:"error"` // of the last call without an answer
}

func newCaller(proxy *url.URL) *http.Client {
	return &http.Client{
		Timeout:   15 * time.Second,
		Transport: &http.Transport{Proxy: http.ProxyURL(proxy), MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// control is the demo's side: POST /call, POST /stop, GET /counts.
func control(app *service, client *http.Client) http.Handler {
	load := &load{client: client}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /call", func(w http.ResponseWriter, r *http.Request) {
		var o Order
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if o.Until {
			load.start(o)
			return
		}
		reply(w, load.run(o, make(chan struct{})))
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) { reply(w, load.stop()) })
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) { reply(w, app.counts()) })
	return mux
}

func reply(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

// load sends requests, at most one background load at a time.
type load struct {
	client *http.Client

	mu   sync.Mutex
	quit chan struct{}
	done chan Tally
}

func (l *load) start(o Order) {
	l.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	quit, done := make(chan struct{}), make(chan Tally, 1)
	l.quit, l.done = quit, done
	go func() { done <- l.run(o, quit) }()
}

func (l *load) stop() Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quit == nil {
		return Tally{}
	}
	close(l.quit)
	t := <-l.done
	l.quit, l.done = nil, nil
	return t
}

// run sends the order's requests with its concurrency.
func (l *load) run(o Order, quit <-chan struct{}) Tally {
	begun := time.Now()
	t := Tally{Status: map[int]int{}, Versions: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan struct{})
	for range max(1, o.Concurrency) {
		wg.Go(func() {
			for range work {
				l.once(o, &mu, &t)
			}
		})
	}
	for n := 0; o.Until || n < max(1, o.Requests); n++ {
		select {
		case work <- struct{}{}:
			continue
		case <-quit:
		}
		break
	}
	close(work)
	wg.Wait()
	t.Seconds = time.Since(begun).Seconds()
	return t
}

func (l *load) once(o Order, mu *sync.Mutex, t *Tally) {
	status, version, body, flags, err := l.send(o)
	mu.Lock()
	defer mu.Unlock()
	t.Requests++
	t.Status[status]++
	t.Body, t.Flags = body, flags
	if version != "" && status == http.StatusOK {
		t.Versions[version]++
	}
	if err != nil {
		t.Error = err.Error()
	}
}

func (l *load) send(o Order) (status int, version, body, flags string, err error) {
	req, err := http.NewRequest(o.Method, o.URL, nil)
	if err != nil {
		return 0, "", "", "", fmt.Errorf("calling: %w", err)
	}
	for k, v := range o.Headers {
		req.Header.Set(k, v)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, "", "", "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	var a answer
	_ = json.Unmarshal(data, &a) // a proxy's own answer is not JSON
	return resp.StatusCode, a.Version, string(data), resp.Header.Get("x-envoy-overloaded"), err
}
