package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/mesh-compile/mesh-compile/test/localmesh"
)

func newCaller(proxy *url.URL) *http.Client {
	return &http.Client{
		Timeout:   15 * time.Second,
		Transport: &http.Transport{Proxy: http.ProxyURL(proxy), MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// control is the tests' side: POST /call, POST /stop, GET /counts.
func control(app *service, client *http.Client) http.Handler {
	load := &load{client: client}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /call", func(w http.ResponseWriter, r *http.Request) {
		var o localmesh.Order
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
	done chan localmesh.Tally
}

func (l *load) start(o localmesh.Order) {
	l.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	quit, done := make(chan struct{}), make(chan localmesh.Tally, 1)
	l.quit, l.done = quit, done
	go func() { done <- l.run(o, quit) }()
}

func (l *load) stop() localmesh.Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quit == nil {
		return localmesh.Tally{}
	}
	close(l.quit)
	t := <-l.done
	l.quit, l.done = nil, nil
	return t
}

// run sends the order's requests with its concurrency.
func (l *load) run(o localmesh.Order, quit <-chan struct{}) localmesh.Tally {
	begun := time.Now()
	t := localmesh.Tally{Status: map[int]int{}, Versions: map[string]int{}}
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

func (l *load) once(o localmesh.Order, mu *sync.Mutex, t *localmesh.Tally) {
	begun := time.Now()
	status, body, err := l.send(o)
	var a answer
	_ = json.Unmarshal(body, &a) // a proxy's own answer is not JSON
	mu.Lock()
	defer mu.Unlock()
	t.Requests++
	t.Status[status]++
	if status == http.StatusOK {
		t.Versions[a.Version]++
		return
	}
	if len(t.Failures) < localmesh.MaxFailures {
		t.Failures = append(t.Failures, fmt.Sprintf("%s, after %s: status %d: %.300s %v",
			begun.UTC().Format(time.RFC3339Nano), time.Since(begun).Round(time.Millisecond), status, body, err))
	}
}

// send returns status 0 where there is no whole answer.
func (l *load) send(o localmesh.Order) (status int, body []byte, err error) {
	req, err := http.NewRequest(o.Method, o.URL, nil)
	if err != nil {
		return 0, nil, err
	}
	for k, v := range o.Headers {
		req.Header.Set(k, v)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<16)); err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, body, nil
}
