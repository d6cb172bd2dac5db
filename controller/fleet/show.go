package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// WriteTable writes a row for each proxy, and below it what is wrong with it.
func (f Fleet) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WORKLOAD\tINSTANCE\tRELEASE\tREVISION\tAGE\tSTATE\tSEEN")
	var notes []string
	for _, p := range f.Proxies {
		r, _ := f.Release(p.Sequence)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Workload, orDash(p.Instance), number(p.Sequence), orDash(short(r)),
			orDash(f.age(p)), f.state(p), f.seen(p))
		notes = append(notes, f.notes(p)...)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(notes) > 0 {
		notes = append([]string{""}, notes...)
	}
	for _, n := range notes {
		if _, err := fmt.Fprintln(w, n); err != nil {
			return err
		}
	}
	return nil
}

// state is in xDS's words, for what Envoy said and what the agent did before it was
// asked.
func (f Fleet) state(p v1alpha1.ProxyReport) string {
	out := "ACK"
	switch live, _ := f.Live(); {
	case p.State == stateRejected:
		out = "NACK"
	case p.State != stateApplied:
		out = p.State
	case p.Sequence < live.Sequence:
		out = "ACK, behind"
	}
	if p.Drift != "" {
		out += ", drift"
	}
	return out
}

func (f Fleet) notes(p v1alpha1.ProxyReport) (out []string) {
	name := p.Workload + " " + p.Instance
	switch {
	case p.State == stateRejected:
		out = append(out, fmt.Sprintf("%s: release %d is %s: %s", name, p.Rejected, verb(p.State), words(p)))
	case p.State != stateApplied:
		out = append(out, fmt.Sprintf("%s: a release is %s [%s]: %s", name, verb(p.State), p.Code, p.Error))
	}
	if p.Drift != "" {
		out = append(out, fmt.Sprintf("%s: drift: %s", name, p.Drift))
	}
	return out
}

// Summary is one line about all of them.
func (f Fleet) Summary() string {
	live, ok := f.Live()
	if !ok {
		return fmt.Sprintf("no release is live, %s", Proxies(f.Count().Total))
	}
	c := f.Count()
	line := fmt.Sprintf("release %d%s: %d of %s", live.Sequence, paren(short(live)), c.Current, Proxies(c.Total))
	for _, part := range []struct {
		n    int
		what string
	}{{c.Behind, "behind"}, {c.Failed, "failed"}, {c.Drifted, "drifted"}, {c.Gone, "gone"}} {
		if part.n > 0 {
			line += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	if live.Phase != "" && live.Phase != v1alpha1.RolloutComplete {
		line += fmt.Sprintf("; rollout %s, wave %d of %d", strings.ToLower(string(live.Phase)), live.Wave, live.Waves)
	}
	return line
}

// Proxies says how many.
func Proxies(n int) string {
	if n == 1 {
		return "1 proxy"
	}
	return fmt.Sprintf("%d proxies", n)
}

func paren(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func number(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// short is a revision for people: the commit, abbreviated.
func short(r Release) string {
	name := r.Commit
	if name == "" {
		name = r.Revision
	}
	commit := strings.LastIndexByte(name, ':') + 1
	if len(name)-commit >= 40 && !strings.Contains(name, ";") {
		return name[:commit+12]
	}
	return name
}

// age is how long the proxy has run its release.
func (f Fleet) age(p v1alpha1.ProxyReport) string {
	if p.Applied == nil {
		return ""
	}
	return round(f.At.Sub(p.Applied.Time))
}

func (f Fleet) seen(p v1alpha1.ProxyReport) string {
	switch {
	case p.Connected:
		return "now"
	case p.Left != nil:
		return round(f.At.Sub(p.Left.Time)) + " ago"
	}
	return round(f.At.Sub(p.Reported.Time)) + " ago"
}

// round prints a duration as kubectl does: one unit, two where it matters.
func round(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// page is the JSON of "mesh-compile fleet", as schemas/cli/fleet.schema.json says.
type page struct {
	Version int       `json:"version"` // 1
	At      time.Time `json:"at"`
	Live    *pageLive `json:"live"`
	Proxies []row     `json:"proxies"`
	Summary Counts    `json:"summary"`
}

type pageLive struct {
	Sequence int64  `json:"sequence"`
	Revision string `json:"revision,omitempty"`
	Digest   string `json:"digest,omitempty"`
	Phase    string `json:"phase,omitempty"`
	Message  string `json:"message,omitempty"`
}

// row is one proxy.
type row struct {
	Workload  string     `json:"workload"`
	Instance  string     `json:"instance"`
	Identity  string     `json:"identity,omitempty"`
	Sequence  int64      `json:"sequence"`
	Revision  string     `json:"revision,omitempty"`
	Digest    string     `json:"digest,omitempty"`
	Applied   *time.Time `json:"applied,omitempty"`
	State     string     `json:"state"`
	Rejected  int64      `json:"rejected,omitempty"`
	Code      string     `json:"code,omitempty"`
	Error     string     `json:"error,omitempty"`
	Drift     string     `json:"drift,omitempty"`
	Envoy     string     `json:"envoy,omitempty"`
	Agent     string     `json:"agent,omitempty"`
	Connected bool       `json:"connected"`
	Reported  time.Time  `json:"reported"`
	Left      *time.Time `json:"left,omitempty"`
}

// WriteJSON writes what programs read.
func (f Fleet) WriteJSON(w io.Writer) error {
	out := page{Version: 1, At: f.At.UTC(), Proxies: []row{}, Summary: f.Count()}
	if live, ok := f.Live(); ok {
		out.Live = &pageLive{live.Sequence, live.Revision, live.Digest, string(live.Phase), live.Message}
	}
	for _, p := range f.Proxies {
		out.Proxies = append(out.Proxies, f.row(p))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

func (f Fleet) row(p v1alpha1.ProxyReport) row {
	r, _ := f.Release(p.Sequence)
	out := row{
		Workload: p.Workload, Instance: p.Instance, Identity: p.Identity, Sequence: p.Sequence, Revision: r.Revision,
		Digest: p.Digest, State: p.State, Rejected: p.Rejected, Code: p.Code, Error: p.Error, Drift: p.Drift,
		Envoy: p.Envoy, Agent: p.Agent, Connected: p.Connected, Reported: p.Reported.UTC(),
	}
	if p.Applied != nil {
		at := p.Applied.UTC()
		out.Applied = &at
	}
	if p.Left != nil {
		at := p.Left.UTC()
		out.Left = &at
	}
	return out
}
