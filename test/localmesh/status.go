package localmesh

import (
	"context"
	"fmt"
	"slices"
)

// State is what is read of the controller's status document.
type State struct {
	Live struct {
		Sequence uint64 `json:"sequence"`
		Commit   string `json:"commit"`
	} `json:"live"`
	Refused struct {
		Diagnostics string `json:"diagnostics"`
	} `json:"refused"`
	Fleet struct {
		Proxies []ProxyState `json:"proxies"`
	} `json:"fleet"`
}

// ProxyState is what a sidecar reported.
type ProxyState struct {
	Workload string `json:"workload"`
	Sequence uint64 `json:"sequence"`
	State    string `json:"state"`
	Code     string `json:"code"`
	Error    string `json:"error"`
}

// Status asks the controller.
func (m *Mesh) Status() (State, error) {
	var s State
	return s, get(m.ControllerURL()+"/status", &s)
}

// Proxy returns what the sidecar of a workload reported last.
func (s State) Proxy(workload string) ProxyState {
	n := slices.IndexFunc(s.Fleet.Proxies, func(p ProxyState) bool { return p.Workload == Namespace+"/"+workload })
	if n < 0 {
		return ProxyState{}
	}
	return s.Fleet.Proxies[n]
}

// check says why a release is not live on the sidecars of the workloads.
func (s State) check(sequence uint64, workloads []string) error {
	if s.Live.Sequence < sequence {
		return fmt.Errorf("release %d is live, not %d; refused: %s", s.Live.Sequence, sequence, s.Refused.Diagnostics)
	}
	for _, w := range workloads {
		if p := s.Proxy(w); p.Sequence < sequence || p.State != "applied" {
			return fmt.Errorf("%s has release %d (%s) and not %d; %s", w, p.Sequence, p.State, sequence, p.Error)
		}
	}
	return nil
}

// WaitLive waits until the sidecars of workloads, or all, have acknowledged a release.
func (m *Mesh) WaitLive(ctx context.Context, sequence uint64, workloads ...string) error {
	if len(workloads) == 0 {
		for _, i := range m.instances {
			workloads = append(workloads, i.Workload)
		}
	}
	return m.Until(ctx, func() error {
		s, err := m.Status()
		if err != nil {
			return err
		}
		return s.check(sequence, workloads)
	})
}
