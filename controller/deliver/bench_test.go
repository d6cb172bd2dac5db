package deliver

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
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

// BenchmarkEndpoints measures the time from one changed endpoint of a service of a
// thousand until each of many agents has been told. What agents do to read that is
// in it: they are in this process.
func BenchmarkEndpoints(b *testing.B) {
	const agents, size, cluster = 1000, 1000, "outbound|8080||bank.shop"
	h := start(b)
	h.publish(b, shop(b, 1))
	var list []endpoints.Endpoint
	for i := range size {
		list = append(list, endpoints.Endpoint{Address: netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(i % 250)}), Port: 8080, Locality: "eu/eu-a"})
	}
	h.table.Set(cluster, list)
	told := make(chan int, agents)
	for range agents {
		stream, err := h.client(b, "payment", time.Hour).WatchEndpoints(b.Context())
		if err == nil {
			err = stream.Send(&deliveryv1.EndpointsRequest{Workload: "shop/payment", Clusters: []string{cluster}})
		}
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				u, err := stream.Recv()
				if err != nil {
					return
				}
				told <- len(u.GetClusters()[0].GetEndpoints())
			}
		}()
	}
	for range agents {
		<-told
	}
	for i := 0; b.Loop(); i++ {
		want := size - 1 + i%2
		h.table.Set(cluster, list[:want])
		for range agents {
			if got := <-told; got != want {
				b.Fatalf("an agent is told of %d endpoints, want %d", got, want)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/change")
}
