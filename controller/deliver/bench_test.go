package deliver

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// BenchmarkPublish measures the time from Publish until each of many agents, on
// a TLS connection of its own, has received its update.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) { benchmarkPublish(b, n) })
	}
}

func benchmarkPublish(b *testing.B, n int) {
	h := start(b)
	var workloads []workload
	for i := range n {
		name := fmt.Sprintf("w%04d", i)
		workloads = append(workloads, workload{name, name, "outbound|8080||catalog.shop", "catalog"})
	}
	r := release(b, 1, workloads...)
	h.publish(b, r)
	received := make(chan []byte, n)
	var opening sync.WaitGroup
	for _, w := range workloads {
		c := h.client(b, w.account, time.Hour)
		opening.Go(func() {
			stream, err := c.Watch(b.Context(), &deliveryv1.WatchRequest{Workload: "shop/" + w.name})
			if err != nil {
				b.Error(err)
				return
			}
			go func() {
				for {
					u, err := stream.Recv()
					if err != nil {
						return
					}
					received <- u.GetEnvelope()
				}
			}()
		})
	}
	opening.Wait()
	for range n {
		<-received
	}
	sequence := 1
	for b.Loop() {
		sequence++
		envelope := fmt.Appendf(bytes.Repeat([]byte("x"), 1500), "%d", sequence)
		h.publish(b, r.WithEnvelope(envelope))
		for range n {
			<-received
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/publish")
}
