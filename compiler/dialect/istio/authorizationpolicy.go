package istio

import "github.com/mesh-compile/mesh-compile/compiler/load"

func (t *translator) authorizationPolicy(spec *load.Node) {}
