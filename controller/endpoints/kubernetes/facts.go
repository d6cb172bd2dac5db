package kubernetes

import (
	"maps"
	"slices"
	"strings"
	"unique"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// facts are what the API server said, and what is asked of them. It has no lock:
// the source has.
type facts struct {
	slices   map[text]*slice          // by namespace/name
	services map[text]map[text]*slice // by service and slice
	pods     map[podID]text           // their labels, see encode
	keys     []string                 // of the labels that the pods were read with
	nodes    map[text]place           // by name
	zones    map[text]text            // "region/zone" by zone
	has      struct{ slices, nodes, pods bool }

	wanted  map[text][]*wanted      // clusters by service
	dirty   map[text]bool           // services to be computed
	waiting map[podID]map[text]bool // services that asked for a pod that is not known
}

// wanted is a cluster of a release in force.
type wanted struct {
	artifact.DiscoveredCluster
	service text
	port    text
}

// place of a node.
type place struct{ zone, region text }

func newFacts() *facts {
	return &facts{
		slices: map[text]*slice{}, services: map[text]map[text]*slice{}, pods: map[podID]text{},
		nodes: map[text]place{}, zones: map[text]text{},
		wanted: map[text][]*wanted{}, dirty: map[text]bool{}, waiting: map[podID]map[text]bool{},
	}
}

// touch notes a service to be computed again, if anybody asks for it.
func (f *facts) touch(service text) {
	if len(f.wanted[service]) > 0 {
		f.dirty[service] = true
	}
}

func (f *facts) touchAll() {
	for service := range f.wanted {
		f.dirty[service] = true
	}
}

// setSlice takes a slice in, or out where it is nil.
func (f *facts) setSlice(name text, now *slice) {
	old := f.slices[name]
	if old != nil && now != nil && old.equal(now) {
		return
	}
	if old != nil && (now == nil || old.service != now.service) {
		f.touch(old.service)
		delete(f.services[old.service], name)
		if len(f.services[old.service]) == 0 {
			delete(f.services, old.service)
		}
		delete(f.slices, name)
	}
	if now == nil {
		return
	}
	f.slices[name] = now
	if f.services[now.service] == nil {
		f.services[now.service] = map[text]*slice{}
	}
	f.services[now.service][name] = now
	f.touch(now.service)
}

// replaceSlices takes a whole list in.
func (f *facts) replaceSlices(list map[text]*slice) {
	for name := range f.slices {
		if list[name] == nil {
			f.setSlice(name, nil)
		}
	}
	for name, s := range list {
		f.setSlice(name, s)
	}
	if !f.has.slices {
		f.has.slices = true
		f.touchAll()
	}
}

// setPod takes in the labels of a pod.
func (f *facts) setPod(namespace, name string, labels map[string]string) {
	id, now := podOf(namespace, name), encode(labels)
	old, known := f.pods[id]
	if known && old == now {
		return
	}
	f.pods[id] = now
	for service := range f.waiting[id] {
		f.touch(service)
	}
	delete(f.waiting, id)
	if known { // somebody relabels a running pod: rare enough not to be looked up
		f.touchVersions(namespace + "/")
	}
}

// removePod forgets a pod; that it takes no traffic is for its slices to say.
func (f *facts) removePod(namespace, name string) { delete(f.pods, podOf(namespace, name)) }

// replacePods takes in all pods, with the labels of these sorted keys.
func (f *facts) replacePods(pods map[podID]text, keys []string) {
	f.pods, f.keys, f.has.pods = pods, keys, true
	clear(f.waiting)
	f.touchVersions("")
}

// touchVersions touches services that have versions.
func (f *facts) touchVersions(prefix string) {
	for service, clusters := range f.wanted {
		if strings.HasPrefix(service.Value(), prefix) &&
			slices.ContainsFunc(clusters, func(w *wanted) bool { return len(w.Selector) > 0 }) {
			f.dirty[service] = true
		}
	}
}

// encode makes one text of labels, which all pods with the same share.
func encode(labels map[string]string) text {
	var b strings.Builder
	b.WriteByte('\n')
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(line(k, labels[k]))
	}
	return unique.Make(b.String())
}

// line is a label; neither key nor value has a "=" or a line's end.
func line(key, value string) string { return key + "=" + value + "\n" }

// carries reports whether encoded labels have all of a selector's.
func carries(labels text, selector map[string]string) bool {
	for k, v := range selector {
		if !strings.Contains(labels.Value(), "\n"+line(k, v)) {
			return false
		}
	}
	return true
}

// setNode takes in where a node is, or that it is gone.
func (f *facts) setNode(name text, now place, there bool) {
	old, was := f.nodes[name]
	if was == there && old == now {
		return
	}
	if there {
		f.nodes[name] = now
	} else {
		delete(f.nodes, name)
	}
	f.findZones()
}

func (f *facts) replaceNodes(nodes map[text]place) {
	f.nodes = nodes
	f.findZones()
	if !f.has.nodes {
		f.has.nodes = true
		f.touchAll()
	}
}

// findZones says which region each zone is in. A zone of two regions, which no
// platform has, is of the first.
func (f *facts) findZones() {
	zones := map[text]text{}
	for _, p := range f.nodes {
		if p.zone.Value() == "" {
			continue
		}
		full := p.region.Value() + "/" + p.zone.Value()
		if have, ok := zones[p.zone]; !ok || full < have.Value() {
			zones[p.zone] = unique.Make(full)
		}
	}
	if !maps.Equal(zones, f.zones) {
		f.zones = zones
		f.touchAll()
	}
}

// locality of an endpoint as agents read it.
func (f *facts) locality(zone text) string {
	if full, ok := f.zones[zone]; ok {
		return full.Value()
	}
	if zone.Value() == "" {
		return ""
	}
	return "/" + zone.Value()
}
