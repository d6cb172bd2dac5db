package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/deliver"
)

// Limits of a status page.
const (
	maxPage     = 64 << 20
	pageTimeout = 10 * time.Second
)

// Get asks a controller without Kubernetes for its fleet: server is the address of
// its status, such as http://127.0.0.1:15014.
func Get(ctx context.Context, server string) (Fleet, error) {
	page, err := url.JoinPath(server, "status")
	if err != nil {
		return Fleet{}, fmt.Errorf("asking %s for its status: %w", server, err)
	}
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return Fleet{}, fmt.Errorf("asking %s for its status: %w", server, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return Fleet{}, fmt.Errorf("asking %s for its status: %w", server, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Fleet{}, fmt.Errorf("asking %s for its status: %s", server, answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxPage))
	if err != nil {
		return Fleet{}, fmt.Errorf("asking %s for its status: %w", server, err)
	}
	f, err := decode(data)
	if err != nil {
		return Fleet{}, fmt.Errorf("reading the status of %s: %w", server, err)
	}
	return f, nil
}

// status is what is read of standalone.Status.
type status struct {
	Version int `json:"version"`
	Live    *struct {
		Sequence int64     `json:"sequence"`
		Digest   string    `json:"digest"`
		Commit   string    `json:"commit"`
		IssuedAt time.Time `json:"issuedAt"`
	} `json:"live"`
	Refused *struct {
		Commit      string `json:"commit"`
		Message     string `json:"message"`
		Diagnostics string `json:"diagnostics"`
	} `json:"refused"`
	Fleet struct {
		Proxies []deliver.ProxyState `json:"proxies"`
	} `json:"fleet"`
}

func decode(data []byte) (Fleet, error) {
	var s status
	if err := json.Unmarshal(data, &s); err != nil {
		return Fleet{}, err
	}
	if s.Version != 1 {
		return Fleet{}, fmt.Errorf("its version is %d, this program reads 1", s.Version)
	}
	f := Fleet{At: time.Now()}
	if l := s.Live; l != nil {
		f.Releases = []Release{{Sequence: l.Sequence, Revision: l.Commit, Commit: l.Commit, Digest: l.Digest, Made: l.IssuedAt}}
	}
	if r := s.Refused; r != nil {
		refused := Refusal{Revision: r.Commit, Message: r.Message}
		if text := strings.TrimSpace(r.Diagnostics); text != "" {
			refused.Findings = strings.Split(text, "\n")
		}
		f.Refused = []Refusal{refused}
	}
	for _, p := range s.Fleet.Proxies {
		f.Proxies = append(f.Proxies, Report(p))
	}
	slices.SortFunc(f.Proxies, byName)
	return f, nil
}

// maxText bounds an error or a drift in a report, as the CRD does.
const maxText = 1024

// Report is what a replica knows of a proxy, for a FleetReport.
func Report(p deliver.ProxyState) v1alpha1.ProxyReport {
	out := v1alpha1.ProxyReport{
		Workload: line(p.Workload), Instance: line(p.Instance), Identity: p.Identity,
		Sequence: sequence(p.Running), State: p.State,
		Error: clip(p.Error), Code: line(p.Code), Drift: clip(p.Drift), Envoy: line(p.Envoy), Agent: line(p.Agent),
		Connected: p.Connected, Reported: metav1.NewTime(p.Reported), Applied: timeOf(p.Applied), Left: timeOf(p.Left),
	}
	if !p.RunningDigest.IsZero() {
		out.Digest = p.RunningDigest.String()
	}
	if p.State == stateRejected {
		out.Rejected = sequence(p.Sequence)
	} else if out.Sequence == 0 {
		out.Sequence = sequence(p.Sequence)
	}
	return out
}

// sequence is what a stranger says, where a release document has at most 2^53.
func sequence(n uint64) int64 { return int64(min(n, 1<<53)) }

func timeOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	at := metav1.NewTime(t)
	return &at
}

// line takes out what moves a terminal's cursor: these are a stranger's words.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// clip keeps both ends: Envoy quotes a whole resource before it says what is wrong
// with it. The API server counts characters; bytes are no fewer.
func clip(s string) string {
	s = line(s)
	if len(s) <= maxText {
		return s
	}
	const dots = " ... "
	head, tail := maxText/4, len(s)-(maxText-maxText/4-len(dots))
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	for tail < len(s) && !utf8.RuneStart(s[tail]) {
		tail++
	}
	return s[:head] + dots + s[tail:]
}
