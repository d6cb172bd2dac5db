package endpoints

import "github.com/mesh-compile/mesh-compile/compiler/artifact"

// Written returns the endpoints that the policies write, by cluster. A cluster
// without any is there, empty: Envoy waits for an answer before it uses one.
func Written(services []artifact.DiscoveredService) map[string][]Target {
	out := map[string][]Target{}
	for _, s := range services {
		for _, c := range s.Clusters {
			targets := make([]Target, 0, len(c.Written))
			for _, e := range c.Written {
				targets = append(targets, Target(e))
			}
			out[c.Name] = targets
		}
	}
	return out
}
