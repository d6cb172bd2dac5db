package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/controller/identity"
)

func (a *app) showSlice(f *showFlags, r *artifact.Release, l artifact.Leaf) error {
	var data []byte
	var err error
	if f.bootstrap {
		data, err = staticBootstrap(r.Resources(l), l)
	} else {
		data, err = sliceJSON(r.Resources(l))
	}
	if err != nil {
		return fmt.Errorf("showing %s: %w", l.Workload, err)
	}
	if f.format == "yaml" {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return err
		}
	}
	_, err = a.stdout.Write(data)
	return err
}

// sliceJSON is the slice by kind of resource, in Envoy's own JSON.
func sliceJSON(resources []artifact.Resource) ([]byte, error) {
	out := map[string][]json.RawMessage{"listeners": {}, "routes": {}, "clusters": {}}
	for _, r := range resources {
		kind, m := messageOf(r.Type)
		if m == nil {
			return nil, fmt.Errorf("resource %q has unknown type %s", r.Name, r.Type)
		}
		if err := proto.Unmarshal(r.Bytes, m); err != nil {
			return nil, fmt.Errorf("reading %s %q: %w", r.Type, r.Name, err)
		}
		text, err := xds.JSON(m)
		if err != nil {
			return nil, err
		}
		out[kind] = append(out[kind], text)
	}
	data, err := json.MarshalIndent(out, "", "  ")
	return append(data, '\n'), err
}

func messageOf(typeURL string) (string, proto.Message) {
	switch typeURL {
	case xds.ListenerType:
		return "listeners", &listenerv3.Listener{}
	case xds.RouteType:
		return "routes", &routev3.RouteConfiguration{}
	case xds.ClusterType:
		return "clusters", &clusterv3.Cluster{}
	}
	return "", nil
}

func staticBootstrap(resources []artifact.Resource, l artifact.Leaf) ([]byte, error) {
	list := &xds.List{}
	for _, r := range resources {
		list.Resources = append(list.Resources, xds.Resource{Type: r.Type, Name: r.Name, Bytes: r.Bytes})
	}
	certificate, key, roots, err := sampleCertificate(l.SPIFFEID)
	if err != nil {
		return nil, err
	}
	b, err := xds.StaticBootstrap(xds.Slice{Listeners: list}, xds.StaticOptions{
		Certificate: certificate, Key: key, Roots: roots, Node: l.Workload,
	})
	if err != nil {
		return nil, err
	}
	return xds.JSON(b)
}

// sampleCertificate is one for the workload's identity by a root that nobody
// trusts and whose key is gone on return.
func sampleCertificate(id string) (certificate, key, roots []byte, err error) {
	spiffe, err := spiffeid.FromString(id)
	if err != nil {
		return nil, nil, nil, err
	}
	ca, err := identity.NewCA(spiffe.TrustDomain().Name(), time.Now().Add(time.Hour))
	if err != nil {
		return nil, nil, nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		return nil, nil, nil, err
	}
	leaf, err := ca.Issue(csr, spiffe, time.Hour)
	if err != nil {
		return nil, nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, nil, err
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return certificate, key, ca.RootPEM(), nil
}
