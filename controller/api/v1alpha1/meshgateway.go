package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MeshGateway is where requests from outside the mesh arrive: listeners that the
// proxies of a workload open. MeshRoutes say where the requests go.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcgateway,categories=mesh-compile
// +kubebuilder:printcolumn:name="Workload",type=string,JSONPath=`.spec.workload`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MeshGateway struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// Spec is what the owner writes.
	Spec MeshGatewaySpec `json:"spec"`
	// Status is what the controller reports.
	Status ObjectStatus `json:"status,omitempty"`
}

// MeshGatewayList is a list of MeshGateways.
//
// +kubebuilder:object:root=true
type MeshGatewayList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshGateway `json:"items"`
}

// MeshGatewaySpec says which proxies listen, and for what.
type MeshGatewaySpec struct {
	// Workload of this namespace whose proxies serve the gateway: a MeshWorkload, a
	// Deployment, a StatefulSet or a DaemonSet. No application stands behind them.
	Workload Name `json:"workload"`
	// Listeners of the gateway. No two of one port have a host in common.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Listeners []Listener `json:"listeners"`
}

// Listener is a port of a gateway, for some hosts.
type Listener struct {
	// Name of the listener, unique in the gateway; routes may name it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// Port that clients call. Where a Kubernetes Service of the workload maps it to
	// a targetPort, the proxies listen there.
	Port Port `json:"port"`
	// Protocol that clients speak.
	Protocol ListenerProtocol `json:"protocol"`
	// Hosts of the listener; every host unless written. With tls they are server
	// names, and with tcp there are none.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Hosts []Host `json:"hosts,omitempty"`
	// TLS of a listener whose protocol is https or tls; required there.
	TLS *ListenerTLS `json:"tls,omitempty"`
	// RoutesFrom says whose routes the listener takes; those of the gateway's
	// namespace unless written.
	RoutesFrom *RoutesFrom `json:"routesFrom,omitempty"`
	// RedirectToHTTPS answers every request with a redirect (301) to https. For
	// protocol http only.
	RedirectToHTTPS True `json:"redirectToHTTPS,omitempty"`
}

// ListenerProtocol is "http", "https" (HTTP in TLS that ends at the gateway), "tls"
// (connections, told apart by server name) or "tcp".
//
// +kubebuilder:validation:Enum=http;https;tls;tcp
type ListenerProtocol string

// RoutesFrom says whose routes a listener takes.
//
// +kubebuilder:validation:ExactlyOneOf=namespaces;anywhere
type RoutesFrom struct {
	// Namespaces whose routes are taken; the gateway's own only where it is listed.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Namespaces []Name `json:"namespaces,omitempty"`
	// Anywhere takes the routes of every namespace.
	Anywhere True `json:"anywhere,omitempty"`
}

// ListenerTLS is how a listener speaks TLS. Certificates and keys are files beside
// the agent of the gateway's proxies; no release has them.
type ListenerTLS struct {
	// Mode of the TLS.
	Mode TLSTermination `json:"mode"`
	// Certificates of the gateway, by the names of their directories below the
	// agent's --certificates, each with tls.crt and tls.key. Of several the client's
	// server name chooses. Required unless the mode is passthrough.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Certificates []FileName `json:"certificates,omitempty"`
	// ClientCA names the directory with the ca.crt that client certificates are held
	// to. Required with mutual and optional-mutual.
	ClientCA FileName `json:"clientCA,omitempty"`
	// ClientNames are the subject alternative names of which a client certificate
	// has one; any certificate of the CA unless written.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	ClientNames []SubjectName `json:"clientNames,omitempty"`
	// MinVersion of TLS; 1.2 unless written.
	MinVersion TLSVersion `json:"minVersion,omitempty"`
	// MaxVersion of TLS; 1.3 unless written.
	MaxVersion TLSVersion `json:"maxVersion,omitempty"`
	// CipherSuites of TLS 1.2, by OpenSSL's names; Envoy's own unless written.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	CipherSuites []CipherSuite `json:"cipherSuites,omitempty"`
}

// TLSTermination is "terminate", "mutual" (clients must show a certificate),
// "optional-mutual" (one that is shown is verified) or "passthrough" (nothing is
// opened; for protocol tls only).
//
// +kubebuilder:validation:Enum=terminate;mutual;optional-mutual;passthrough
type TLSTermination string

// FileName names a directory that an operator mounts beside the agent.
//
// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
// +kubebuilder:validation:MaxLength=253
type FileName string

// SubjectName is a DNS name or a URI, compared exactly.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^[!-~]+$`
type SubjectName string

// TLSVersion is a version of TLS.
//
// +kubebuilder:validation:Enum="1.2";"1.3"
type TLSVersion string

// CipherSuite is a cipher suite of TLS 1.2 that has forward secrecy.
//
// +kubebuilder:validation:Enum=ECDHE-ECDSA-AES128-GCM-SHA256;ECDHE-RSA-AES128-GCM-SHA256;ECDHE-ECDSA-AES256-GCM-SHA384;ECDHE-RSA-AES256-GCM-SHA384;ECDHE-ECDSA-CHACHA20-POLY1305;ECDHE-RSA-CHACHA20-POLY1305
type CipherSuite string
