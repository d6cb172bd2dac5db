package hystrix

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
)

// writer writes lines of YAML with a comment each.
type writer struct{ strings.Builder }

func (w *writer) line(indent int, text, comment string) {
	w.WriteString(strings.Repeat(" ", indent) + text)
	if comment != "" {
		w.WriteString(" # " + comment)
	}
	w.WriteByte('\n')
}

// policies writes the documents of every command.
func (c *converter) policies(file string) []byte {
	w := &writer{}
	w.line(0, "# Converted from "+file+". Each value has the line that it comes from.", "")
	first := map[string]string{} // command key by service
	for _, key := range slices.Sorted(maps.Keys(c.commands)) {
		if key == everybody {
			continue
		}
		service, at := c.service(key), c.commands[key].anywhere()
		if !label.MatchString(service) {
			d := c.diags.Add(translate.CodeValue, diag.Error, at, "command %q calls service %q, which is no name of a Service", key, service)
			d.Fix = &diag.Fix{Message: fmt.Sprintf("say which service it calls: --service %q", key+"=NAME")}
			continue
		}
		if other, ok := first[service]; ok {
			d := c.diags.Add(translate.CodeUnsupported, diag.Warning, at, "command %q calls service %s as command %q does, whose settings are written", key, service, other)
			d.Fix = &diag.Fix{Message: "a service has one TrafficPolicy; where the timeouts of its commands differ, make rules of the MeshRoute that match their requests"}
			continue
		}
		first[service] = key
		c.route(w, key, service)
		c.traffic(w, key, service)
	}
	return []byte(w.String())
}

func (c *converter) head(w *writer, kind, key, service string) {
	w.line(0, "---", "")
	w.line(0, "apiVersion: mesh-compile.dev/v1alpha1", "")
	w.line(0, "kind: "+kind, "")
	w.line(0, fmt.Sprintf("metadata: {name: %s, namespace: %s}", service, c.opt.Namespace), "command "+strconv.Quote(key))
	w.line(0, "spec:", "")
	w.line(2, "service: "+service, "")
}

// route writes the timeout. A Hystrix command is not tried again.
func (c *converter) route(w *writer, key, service string) {
	open := get(c.commands, key, forceOpen)
	c.head(w, "MeshRoute", key, service)
	w.line(2, "rules:", "")
	w.line(2, "- name: all", "")
	if c.truth(open, forceOpen) {
		w.line(4, "respond: {status: 503, body: circuit breaker is open}", forceOpen+", "+open.comment())
		return
	}
	enabled, value := get(c.commands, key, timeoutEnabled), get(c.commands, key, timeout)
	n := c.number(value, timeout, 1, int(24*time.Hour/time.Millisecond))
	if !c.truth(enabled, timeoutEnabled) {
		w.line(4, "timeout: 0s", timeoutEnabled+", "+enabled.comment())
		w.line(4, "streamIdleTimeout: 5m", "a request without a timeout must end some time")
		return
	}
	w.line(4, "timeout: "+milliseconds(n), value.comment())
}

func milliseconds(n int) string { return (time.Duration(n) * time.Millisecond).String() }

// traffic writes bulkhead and circuit breaker.
func (c *converter) traffic(w *writer, key, service string) {
	c.head(w, "TrafficPolicy", key, service)
	c.bulkhead(w, key)
	enabled, closed := get(c.commands, key, breaker), get(c.commands, key, forceClosed)
	switch {
	case !c.truth(enabled, breaker):
		w.line(2, "# no outlierDetection: "+breaker+", "+enabled.comment(), "")
	case c.truth(closed, forceClosed):
		w.line(2, "# no outlierDetection: "+forceClosed+", "+closed.comment(), "")
	default:
		c.outliers(w, key)
	}
}

// bulkhead limits how many requests are under way: Envoy refuses one more when it has its
// connection. A queue are requests that wait for one, of which there are no more then.
// One that waits for its own new connection counts as pending (max_pending_requests), so
// that as many may be pending as may be under way, and those in the queue besides.
func (c *converter) bulkhead(w *writer, key string) {
	requests, queued, from, queue := 0, 0, setting{}, setting{}
	if s := get(c.commands, key, strategy); strings.EqualFold(s.value, "SEMAPHORE") {
		from = get(c.commands, key, semaphore)
		requests = c.number(from, semaphore, 1, 1<<20)
	} else {
		if !strings.EqualFold(s.value, "THREAD") {
			c.wrong(s, strategy, "THREAD or SEMAPHORE")
		}
		requests, from = c.poolSize(c.pool(key))
		queued, queue = c.queue(c.pool(key))
	}
	w.line(2, "circuitBreaker:", "")
	w.line(4, fmt.Sprintf("maxRequests: %d", requests), from.comment())
	if queued > 0 {
		w.line(4, fmt.Sprintf("maxConnections: %d", requests), "others wait; HTTP/1.1 has one request on a connection")
		w.line(4, fmt.Sprintf("maxPendingRequests: %d", requests+queued), fmt.Sprintf("a queue of %d, %s", queued, queue.comment()))
		return
	}
	w.line(4, fmt.Sprintf("maxPendingRequests: %d", requests), "no queue: while they connect")
}

// pool of a command. By default that is the command's group, which is code.
func (c *converter) pool(key string) string {
	name := get(c.commands, key, poolOverride).value
	if name == "" {
		name = key
	}
	c.used[name] = true
	return name
}

func (c *converter) poolSize(pool string) (int, setting) {
	size := get(c.pools, pool, coreSize)
	n := c.number(size, coreSize, 1, 1<<20)
	if most := get(c.pools, pool, maximumSize); c.truth(get(c.pools, pool, diverge), diverge) {
		if m := c.number(most, maximumSize, 1, 1<<20); m > n {
			return m, most
		}
	}
	return n, size
}

// queue is 0 where the pool hands over (-1), else the smaller of two bounds.
func (c *converter) queue(pool string) (int, setting) {
	size, reject := get(c.pools, pool, queueSize), get(c.pools, pool, rejection)
	n := c.number(size, queueSize, -1, 1<<20)
	if m := c.number(reject, rejection, 1, 1<<20); n > m {
		return m, reject
	}
	return max(n, 0), size
}

// outliers opens the circuit of each endpoint by itself. When all are out, none is left,
// as where a circuit is open: without a panic threshold.
func (c *converter) outliers(w *writer, key string) {
	share, asks := get(c.commands, key, percentage), get(c.commands, key, volume)
	sleep, sweep := get(c.commands, key, window), get(c.commands, key, rolling)
	w.line(2, "loadBalancing: {panicThreshold: 0}", "an open circuit takes no requests")
	w.line(2, "outlierDetection:", "")
	w.line(4, "consecutive5xxErrors: 0", "the share counts")
	w.line(4, "failurePercentage:", "")
	w.line(6, fmt.Sprintf("threshold: %d", c.number(share, percentage, 1, 100)), share.comment())
	w.line(6, fmt.Sprintf("requestVolume: %d", c.number(asks, volume, 1, 1<<20)), asks.comment())
	w.line(6, "minHosts: 1", "")
	w.line(4, "interval: "+milliseconds(c.number(sweep, rolling, 1, 3_600_000)), sweep.comment())
	ejected := milliseconds(c.number(sleep, window, 1, 3_600_000))
	w.line(4, "baseEjectionTime: "+ejected, sleep.comment())
	w.line(4, "maxEjectionTime: "+ejected, "Hystrix' window does not grow")
	w.line(4, "maxEjectionPercent: 100", "")
}
