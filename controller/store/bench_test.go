package store

import (
	"strconv"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// A store of 1,000 services, from nothing, and then one of them changes, again and
// again: what Put and Get cost, and what a registry is sent and asked for.
func BenchmarkStore(b *testing.B) {
	const services = 1000
	first := mesh(b, nil, services, -1, "")
	for _, kind := range []string{"file", "oci"} {
		b.Run(kind+"/first", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s := mustOpen(b, places(b)[kind])
				b.StartTimer()
				if err := s.Put(b.Context(), first); err != nil {
					b.Fatal(err)
				}
			}
		})
		c := newChanges(b, kind, first)
		b.Run(kind+"/put", c.put)
		b.Run(kind+"/get", c.get)
	}
}

// changes is a store and the release that was put last.
type changes struct {
	hub            *hub
	writer, reader Store
	kind           string
	last           *artifact.Release
	made           int
}

func newChanges(b *testing.B, kind string, first *artifact.Release) *changes {
	url, h := "file://"+b.TempDir(), newHub(b)
	if kind == "oci" {
		url = h.url + "/releases"
	}
	c := &changes{hub: h, writer: mustOpen(b, url), reader: mustOpen(b, url), kind: kind, last: first}
	if err := c.writer.Put(b.Context(), first); err != nil {
		b.Fatal(err)
	}
	return c
}

func (c *changes) next(b *testing.B) *artifact.Release {
	c.made++
	return mesh(b, c.last, len(c.last.Leaves()), 0, c.kind+strconv.Itoa(c.made))
}

func (c *changes) put(b *testing.B) {
	c.hub.reset()
	for b.Loop() {
		b.StopTimer()
		c.last = c.next(b)
		b.StartTimer()
		if err := c.writer.Put(b.Context(), c.last); err != nil {
			b.Fatal(err)
		}
	}
	in, _, requests := c.hub.reset()
	b.ReportMetric(float64(in)/float64(b.N), "sent-B/op")
	b.ReportMetric(float64(requests)/float64(b.N), "requests/op")
}

func (c *changes) get(b *testing.B) {
	var read, requests float64
	for b.Loop() {
		b.StopTimer()
		next, prev := c.next(b), c.last
		if err := c.writer.Put(b.Context(), next); err != nil {
			b.Fatal(err)
		}
		c.hub.reset()
		b.StartTimer()
		got, err := c.reader.Get(b.Context(), Key(next), prev)
		if err != nil {
			b.Fatal(err)
		}
		c.last = got
		b.StopTimer()
		_, out, n := c.hub.reset()
		read, requests = read+float64(out), requests+float64(n)
		b.StartTimer()
	}
	b.ReportMetric(read/float64(b.N), "read-B/op")
	b.ReportMetric(requests/float64(b.N), "requests/op")
}
