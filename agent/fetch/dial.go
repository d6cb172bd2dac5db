package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

const (
	// maxReplicas bounds the addresses that are tried for one connection.
	maxReplicas = 8
	// dialTimeout bounds each of them: one that is gone does not keep the agent
	// from those that are there.
	dialTimeout = 3 * time.Second
)

// anyReplica connects to one of the addresses of host:port, in an order of
// chance: DNS gives many agents the same one first.
func anyReplica(ctx context.Context, target string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("resolving %s: %w", host, err)
	}
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	dialer := net.Dialer{Timeout: dialTimeout}
	var failed error
	for _, address := range addresses[:min(len(addresses), maxReplicas)] {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address, port))
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}
