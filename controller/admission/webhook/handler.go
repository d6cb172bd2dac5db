// Package webhook answers the API server's admission reviews over HTTP. In goes an
// AdmissionReview v1, out comes one with the answer to the same request. It bounds what
// a stranger can send and how many requests are judged at a time; it judges nothing.
package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// Limits of the server.
const (
	// MaxBody holds an object and what it was: etcd takes 1.5 MiB of each by default.
	MaxBody = 8 << 20
	// DefaultConcurrent is how many requests are judged at a time.
	DefaultConcurrent = 32
	// DefaultTimeout is below the timeoutSeconds of the configuration, 5, so that the
	// API server gets an answer.
	DefaultTimeout = 4 * time.Second
	// small bodies are read without asking; of larger ones few are there at a time, so
	// that strangers who send them slowly keep no ordinary review out.
	small    = 64 << 10
	maxLarge = 8
	// readWithin is for a body. The API server has it before it calls.
	readWithin = 2 * time.Second
)

// Judge answers a request. An error is not an answer: the API server then does what
// failurePolicy says.
type Judge func(context.Context, *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error)

// Options of a handler; zero is the default.
type Options struct {
	Concurrent int
	Timeout    time.Duration
}

type handler struct {
	judge   Judge
	slots   chan struct{}
	large   chan struct{} // bodies that are not small
	timeout time.Duration
}

// NewHandler makes the handler of one webhook.
func NewHandler(judge Judge, o Options) http.Handler {
	if o.Concurrent <= 0 {
		o.Concurrent = DefaultConcurrent
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &handler{judge: judge, slots: make(chan struct{}, o.Concurrent), large: make(chan struct{}, maxLarge), timeout: o.Timeout}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "want POST", http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.timeout)
	defer cancel()
	body, done, status, err := h.read(ctx, w, r)
	defer done()
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		http.Error(w, "too many requests are being judged", http.StatusServiceUnavailable)
		return
	}
	review, err := decode(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response, err := h.judge(ctx, review.Request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	response.UID = review.Request.UID
	w.Header().Set("Content-Type", "application/json")
	// An error here is a connection that is gone: nobody is left to be told.
	_ = json.NewEncoder(w).Encode(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response})
}

// read reads a body within its time, or says with which status it is refused. What it
// holds of the bound is free again when done is called.
func (h *handler) read(ctx context.Context, w http.ResponseWriter, r *http.Request) (body []byte, done func(), status int, err error) {
	done = func() {}
	// Not every writer has deadlines; the server's own holds then.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(readWithin))
	// While a request is judged the server reads on, and takes an error for its end.
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	from := http.MaxBytesReader(w, r.Body, MaxBody)
	body, err = io.ReadAll(io.LimitReader(from, small))
	if err == nil && len(body) == small {
		select {
		case h.large <- struct{}{}:
			done = func() { <-h.large }
		case <-ctx.Done():
			return nil, done, http.StatusServiceUnavailable, errors.New("too many large reviews are being read")
		}
		var rest []byte
		rest, err = io.ReadAll(from)
		body = append(body, rest...)
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, done, http.StatusRequestEntityTooLarge, fmt.Errorf("the review is larger than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return nil, done, http.StatusBadRequest, fmt.Errorf("reading the review: %w", err)
	}
	return body, done, 0, nil
}

func decode(body []byte) (*admissionv1.AdmissionReview, error) {
	review := &admissionv1.AdmissionReview{}
	if err := json.Unmarshal(body, review); err != nil {
		return nil, fmt.Errorf("reading the review: %w", err)
	}
	if review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Kind != "AdmissionReview" || review.Request == nil {
		return nil, fmt.Errorf("want an AdmissionReview of %s with a request", admissionv1.SchemeGroupVersion)
	}
	return review, nil
}
