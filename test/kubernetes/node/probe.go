package node

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

var prober = http.Client{Timeout: time.Second}

// probe asks a readiness probe.
func probe(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := prober.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// failureThreshold is after how many failures in a row a kubelet takes a pod for not ready, by default.
const failureThreshold = 3

// keepReady writes a pod's readiness whenever its probe's answer changes, until ctx ends.
func keepReady(ctx context.Context, probe func(context.Context) error, write func(ready bool) error) {
	const period = 100 * time.Millisecond
	ready, failures := false, failureThreshold
	for ctx.Err() == nil {
		if failures++; probe(ctx) == nil {
			failures = 0
		}
		if now := failures < failureThreshold; now != ready && ctx.Err() == nil && write(now) == nil {
			ready = now
		}
		select {
		case <-ctx.Done():
		case <-time.After(period):
		}
	}
}

// setReady writes the readiness of a pod of this node.
func (n *Node) setReady(namespace, name string, ready bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return n.cluster.SetReady(ctx, namespace, name, ready)
}
