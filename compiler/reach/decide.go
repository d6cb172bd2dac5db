package reach

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// Decide applies the access rules of one inbound port to a request that reached
// it: no route, no handshake. From is the identity that the port sees, a SPIFFE
// id or none; To is the authority.
func Decide(s *check.Settings, in *check.Inbound, r Request) Access {
	j := judge{newPatterns(), s.TrustDomain}
	who := &caller{peer: r.Peer, client: r.Client}
	if strings.HasPrefix(r.From, "spiffe://") {
		who.identity = r.From
	}
	if !who.client.IsValid() {
		who.client = who.peer
	}
	if !in.Protocol.IsHTTP() {
		return j.decide(&in.Access, who, nil)
	}
	m := newMessage(&r)
	if reason := m.normalize(s); reason != "" {
		a := Access{}.because(Deny, reason, in.Access.DefaultSpan)
		a.Status = 400
		return a
	}
	return j.decide(&in.Access, who, m)
}
