package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of the native kinds.
const Group = "mesh-compile.dev"

// Version is this package's version of the group.
const Version = "v1alpha1"

// APIVersion is what documents write: "mesh-compile.dev/v1alpha1".
const APIVersion = Group + "/" + Version

// SchemeGroupVersion is the group and version that AddToScheme registers.
var SchemeGroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// KindInfo describes one native kind.
//
// +kubebuilder:object:generate=false
type KindInfo struct {
	Kind       string // "MeshRoute"
	Plural     string // "meshroutes", the resource's name in URLs
	Short      string // "mcroute", for kubectl
	Namespaced bool
	New        func() any // pointer to an empty value: *MeshRoute
}

// Kinds lists the native kinds in alphabetical order.
func Kinds() []KindInfo {
	return []KindInfo{
		{"AccessPolicy", "accesspolicies", "mcaccess", true, func() any { return new(AccessPolicy) }},
		{"Assumption", "assumptions", "mcassume", true, func() any { return new(Assumption) }},
		{"AuthenticationPolicy", "authenticationpolicies", "mcauthn", true, func() any { return new(AuthenticationPolicy) }},
		{"ExternalService", "externalservices", "mcexternal", true, func() any { return new(ExternalService) }},
		{"Grant", "grants", "mcgrant", true, func() any { return new(Grant) }},
		{"Invariant", "invariants", "mcinvariant", true, func() any { return new(Invariant) }},
		{"Mesh", "meshes", "mcmesh", false, func() any { return new(Mesh) }},
		{"MeshGateway", "meshgateways", "mcgateway", true, func() any { return new(MeshGateway) }},
		{"MeshRoute", "meshroutes", "mcroute", true, func() any { return new(MeshRoute) }},
		{"MeshWorkload", "meshworkloads", "mcworkload", true, func() any { return new(MeshWorkload) }},
		{"PolicySync", "policysyncs", "mcsync", true, func() any { return new(PolicySync) }},
		{"PolicyTest", "policytests", "mctest", true, func() any { return new(PolicyTest) }},
		{"RateLimitPolicy", "ratelimitpolicies", "mclimit", true, func() any { return new(RateLimitPolicy) }},
		{"TelemetryPolicy", "telemetrypolicies", "mctelemetry", true, func() any { return new(TelemetryPolicy) }},
		{"TrafficPolicy", "trafficpolicies", "mctraffic", true, func() any { return new(TrafficPolicy) }},
		{"Waiver", "waivers", "mcwaiver", true, func() any { return new(Waiver) }},
	}
}

// Reports lists the kinds that controllers alone write, in alphabetical order. No
// policy repository holds them.
func Reports() []KindInfo {
	return []KindInfo{
		{"AuditReport", "auditreports", "mcaudit", true, func() any { return new(AuditReport) }},
		{"FleetReport", "fleetreports", "mcfleet", true, func() any { return new(FleetReport) }},
		{"Release", "releases", "mcrelease", true, func() any { return new(Release) }},
	}
}

// AddToScheme registers the kinds and their lists.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion,
		&AccessPolicy{}, &AccessPolicyList{},
		&Assumption{}, &AssumptionList{},
		&AuthenticationPolicy{}, &AuthenticationPolicyList{},
		&ExternalService{}, &ExternalServiceList{},
		&Grant{}, &GrantList{},
		&Invariant{}, &InvariantList{},
		&Mesh{}, &MeshList{},
		&MeshGateway{}, &MeshGatewayList{},
		&MeshRoute{}, &MeshRouteList{},
		&MeshWorkload{}, &MeshWorkloadList{},
		&PolicySync{}, &PolicySyncList{},
		&PolicyTest{}, &PolicyTestList{},
		&RateLimitPolicy{}, &RateLimitPolicyList{},
		&TrafficPolicy{}, &TrafficPolicyList{},
		&Waiver{}, &WaiverList{},
		&AuditReport{}, &AuditReportList{},
		&FleetReport{}, &FleetReportList{},
		&Release{}, &ReleaseList{},
	)
	metav1.AddToGroupVersion(s, SchemeGroupVersion)
	return nil
}
