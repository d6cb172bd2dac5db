package kubernetes

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

const deadline = 20 * time.Second

// lookup knows two addresses of one name.
func lookup(_ context.Context, host string) ([]netip.Addr, error) {
	if host != "vm.example" {
		return nil, fmt.Errorf("no such host %s", host)
	}
	return []netip.Addr{netip.MustParseAddr("10.9.1.2"), netip.MustParseAddr("10.9.1.1")}, nil
}

func newSource(t testing.TB, config *rest.Config) (*Source, *endpoints.Table) {
	t.Helper()
	table := endpoints.NewTable()
	s, err := New(config, Options{Table: table, Lookup: lookup, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s, table
}

// nowhere is an API server that is not asked.
var nowhere = &rest.Config{Host: "https://127.0.0.1:1"}

func discovery(t testing.TB, data []byte) []artifact.DiscoveredService {
	t.Helper()
	services, err := artifact.DecodeDiscovery(data)
	if err != nil {
		t.Fatal(err)
	}
	return services
}

func TestJoin(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string][]byte{}
			for _, f := range archive.Files {
				parts[f.Name] = f.Data
			}
			s, table := newSource(t, nowhere)
			s.Set(discovery(t, parts["discovery.json"]))
			if table.Len() != 0 {
				t.Error("clusters are told of before anything is known")
			}
			s.feed(t, parts["objects.yaml"])
			s.resolve(t)
			s.tell()
			if diff := cmp.Diff(string(parts["want"]), render(t, s, table)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// feed takes objects in as the watches do.
func (s *Source) feed(t testing.TB, data []byte) {
	t.Helper()
	slices, pods, nodes := []any{}, []any{}, []any{}
	for _, doc := range bytes.Split(data, []byte("\n---\n")) {
		var o metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(doc, &o); err != nil {
			t.Fatal(err)
		}
		switch o.Kind {
		case "Pod":
			pods = append(pods, &o)
		case "Node":
			nodes = append(nodes, &o)
		default:
			slice := &discoveryv1.EndpointSlice{}
			if err := yaml.UnmarshalStrict(doc, slice); err != nil {
				t.Fatal(err)
			}
			slices = append(slices, slice)
		}
	}
	for _, r := range []struct {
		into interface{ Replace([]any, string) error }
		list []any
	}{{s.podStore(s.keys), pods}, {s.nodeStore(), nodes}, {s.sliceStore(), slices}} {
		if err := r.into.Replace(r.list, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// resolve looks names up once.
func (s *Source) resolve(t testing.TB) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	go s.resolver.Run(ctx)
	for name, w := range s.names {
		for len(w.Written) > 0 {
			if _, ok := s.written.Get(name); ok {
				break
			}
			select {
			case <-s.watch.Changed():
			case <-ctx.Done():
				t.Fatalf("the names of %s are not looked up", name)
			}
		}
	}
	s.touchWritten()
}

func render(t testing.TB, s *Source, table *endpoints.Table) string {
	t.Helper()
	var names []string
	for name := range s.names {
		names = append(names, name)
	}
	w := table.Watch()
	w.Follow(names)
	defer w.Close()
	var b strings.Builder
	for _, c := range w.Take() {
		fmt.Fprintln(&b, c.Cluster)
		for _, e := range c.Endpoints {
			fmt.Fprintf(&b, "\t%s", netip.AddrPortFrom(e.Address, uint16(e.Port)))
			for _, word := range []struct {
				say  bool
				what string
			}{
				{e.Locality != "", e.Locality}, {e.Weight != 0, fmt.Sprintf("weight=%d", e.Weight)},
				{e.Draining, "draining"}, {e.Near != "", "near=" + e.Near},
			} {
				if word.say {
					fmt.Fprint(&b, " ", word.what)
				}
			}
			fmt.Fprintln(&b)
		}
	}
	return b.String()
}
