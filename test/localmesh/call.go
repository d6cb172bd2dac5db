package localmesh

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Order is what an application is asked to do: calls through its sidecar.
type Order struct {
	Method      string            `json:"method"`
	URL         string            `json:"url"`
	Headers     map[string]string `json:"headers,omitempty"`
	Requests    int               `json:"requests,omitempty"`    // 1 where 0
	Concurrency int               `json:"concurrency,omitempty"` // 1 where 0
	// Until keeps sending until Stop.
	Until bool `json:"until,omitempty"`
}

// Tally is what came of the calls.
type Tally struct {
	Requests int            `json:"requests"`
	Status   map[int]int    `json:"status"`   // 0: no answer
	Versions map[string]int `json:"versions"` // of who answered 200
	Seconds  float64        `json:"seconds"`
	// Failures tells of the first calls that were not answered with 200.
	Failures []string `json:"failures"`
}

// MaxFailures is how many failures a Tally tells of.
const MaxFailures = 5

// Count is how many calls were answered with status, and how many were not.
func (t Tally) Count(status int) (have, others int) {
	return t.Status[status], t.Requests - t.Status[status]
}

// Call makes an application call through its own sidecar.
func (i *Instance) Call(o Order) (Tally, error) { return Application(i.control()).Call(o) }

// Load makes an application call until stop is called.
func (i *Instance) Load(o Order) (stop func() (Tally, error), err error) {
	return Application(i.control()).Load(o)
}

// Received is how often the application saw a method and path, as in "GET /items".
func (i *Instance) Received(methodAndPath string) (int, error) {
	counts := map[string]int{}
	err := get(i.control()+"/counts", &counts)
	return counts[methodAndPath], err
}

// Application is the URL of the control port of this package's program app.
type Application string

// Call makes the application call through its own sidecar.
func (a Application) Call(o Order) (Tally, error) {
	var t Tally
	return t, post(string(a)+"/call", o, &t)
}

// Load makes the application call until stop is called.
func (a Application) Load(o Order) (stop func() (Tally, error), err error) {
	o.Until = true
	stop = func() (t Tally, err error) { return t, post(string(a)+"/stop", nil, &t) }
	return stop, post(string(a)+"/call", o, nil)
}

// local talks to the programs of the mesh, and never through a sidecar.
var local = http.Client{Timeout: time.Minute, Transport: &http.Transport{Proxy: nil}}

func post(url string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := local.Post(url, "application/json", bytes.NewReader(data))
	if err != nil {
		return err
	}
	return read(resp, into)
}

// get asks for a page, and reads it as JSON where into is not nil.
func get(url string, into any) error {
	resp, err := local.Get(url)
	if err != nil {
		return err
	}
	return read(resp, into)
}

func read(resp *http.Response, into any) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %s", resp.Request.URL, resp.Status, strings.TrimSpace(string(body)))
	case into == nil:
		return nil
	}
	return json.Unmarshal(body, into)
}

// Page gets a page of a program of the mesh as text.
func Page(url string) (string, error) {
	resp, err := local.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return string(body), err
}
