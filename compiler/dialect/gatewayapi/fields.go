package gatewayapi

//go:generate go test -count=1 -run ^TestReference$ . -update

import (
	"strings"
)

// use says what becomes of the fields of one Go type of the Gateway API. Fields of
// embedded types are its own.
type use struct {
	reads string // names separated by spaces
	// warns have no effect, whatever they say, which is a warning: why.
	warns map[string]string
	// refuses are not implemented: what to do instead.
	refuses map[string]string
}

const nothingCreated = "nothing is created for a gateway; its Deployment and Service are yours"

const sessions = "leave it out; sticky of a native MeshRoute keeps a caller on its version"

// fields has every type that a supported kind can reach through fields that are
// read. A field that the Gateway API adds is refused until it stands here; a test
// compares the table with the types.
var fields = map[string]use{
	"HTTPRouteSpec": {reads: "parentRefs hostnames rules", refuses: map[string]string{
		"useDefaultGateways": "name the parents in parentRefs",
	}},
	"GRPCRouteSpec": {reads: "parentRefs hostnames rules", refuses: map[string]string{
		"useDefaultGateways": "name the parents in parentRefs",
	}},
	"ParentReference": {reads: "group kind namespace name sectionName port"},
	"HTTPRouteRule": {reads: "name matches filters backendRefs timeouts retry", refuses: map[string]string{
		"sessionPersistence": sessions,
	}},
	"GRPCRouteRule": {reads: "name matches filters backendRefs", refuses: map[string]string{
		"sessionPersistence": sessions,
	}},
	"HTTPRouteMatch":      {reads: "path headers queryParams method"},
	"HTTPPathMatch":       {reads: "type value"},
	"HTTPHeaderMatch":     {reads: "type name value"},
	"HTTPQueryParamMatch": {reads: "type name value"},
	"GRPCRouteMatch":      {reads: "method headers"},
	"GRPCMethodMatch":     {reads: "type service method"},
	"GRPCHeaderMatch":     {reads: "type name value"},
	"HTTPRouteFilter": {
		reads: "type requestHeaderModifier responseHeaderModifier requestMirror requestRedirect urlRewrite cors",
		refuses: map[string]string{
			"externalAuth": "write an AccessPolicy, which the callee's proxy enforces",
			"extensionRef": "remove it: there are no filters of one's own",
		},
	},
	"GRPCRouteFilter": {
		reads: "type requestHeaderModifier responseHeaderModifier requestMirror",
		refuses: map[string]string{
			"extensionRef": "remove it: there are no filters of one's own",
		},
	},
	"HTTPHeaderFilter":          {reads: "set add remove"},
	"HTTPHeader":                {reads: "name value"},
	"HTTPRequestMirrorFilter":   {reads: "backendRef percent fraction"},
	"Fraction":                  {reads: "numerator denominator"},
	"HTTPRequestRedirectFilter": {reads: "scheme hostname path port statusCode"},
	"HTTPURLRewriteFilter":      {reads: "hostname path"},
	"HTTPPathModifier":          {reads: "type replaceFullPath replacePrefixMatch"},
	"HTTPCORSFilter":            {reads: "allowOrigins allowCredentials allowMethods allowHeaders exposeHeaders maxAge"},
	"HTTPBackendRef":            {reads: "group kind name namespace port weight filters"},
	"GRPCBackendRef":            {reads: "group kind name namespace port weight filters"},
	"BackendObjectReference":    {reads: "group kind name namespace port"},
	"HTTPRouteTimeouts":         {reads: "request backendRequest"},
	"HTTPRouteRetry":            {reads: "codes attempts backoff"},

	"linkerdHTTPRouteSpec": {reads: "parentRefs hostnames rules"},
	"linkerdRule":          {reads: "matches filters backendRefs timeouts"},
	"linkerdBackendRef":    {reads: "group kind name namespace port weight filters"},
	"linkerdFilter":        {reads: "type requestHeaderModifier responseHeaderModifier requestRedirect"},
	"TLSRouteSpec": {reads: "parentRefs hostnames rules", refuses: map[string]string{
		"useDefaultGateways": "name the parents in parentRefs",
	}},
	"TLSRouteRule": {reads: "name backendRefs"},
	"TCPRouteSpec": {reads: "parentRefs rules", refuses: map[string]string{
		"useDefaultGateways": "name the parents in parentRefs",
	}},
	"TCPRouteRule": {reads: "name backendRefs"},
	"BackendRef":   {reads: "group kind name namespace port weight"},

	"GatewayClassSpec":    {reads: "controllerName parametersRef description"},
	"ParametersReference": {reads: "group kind name namespace"},
	"GatewaySpec": {
		reads: "gatewayClassName listeners infrastructure allowedListeners",
		warns: map[string]string{"addresses": "they are those of the Service in front of the gateway's pods"},
		refuses: map[string]string{
			"tls":          "a native MeshGateway demands client certificates; backends of the mesh are called with its own",
			"defaultScope": "name the gateway in the routes' parentRefs",
		},
	},
	"Listener": {reads: "name hostname port protocol tls allowedRoutes"},
	"ListenerTLSConfig": {reads: "mode certificateRefs", refuses: map[string]string{
		"options": "leave it out; a native MeshGateway says minVersion, maxVersion and cipherSuites",
	}},
	"ListenerSetSpec":          {reads: "parentRef listeners"},
	"ParentGatewayReference":   {reads: "group kind name namespace"},
	"ListenerEntry":            {reads: "name hostname port protocol tls allowedRoutes"},
	"AllowedListeners":         {reads: "namespaces"},
	"ListenerNamespaces":       {reads: "from selector"},
	"SecretObjectReference":    {reads: "group kind name namespace"},
	"AllowedRoutes":            {reads: "namespaces kinds"},
	"RouteNamespaces":          {reads: "from selector"},
	"RouteGroupKind":           {reads: "group kind"},
	"LabelSelector":            {reads: "matchLabels matchExpressions"},
	"LabelSelectorRequirement": {reads: "key operator values"},
	"GatewayInfrastructure": {warns: map[string]string{
		"labels": nothingCreated, "annotations": nothingCreated, "parametersRef": nothingCreated,
	}},
	// Of fields that have no effect.
	"GatewaySpecAddress":       {reads: "type value"},
	"LocalParametersReference": {reads: "group kind name"},

	"ReferenceGrantSpec": {reads: "from to"},
	"ReferenceGrantFrom": {reads: "group kind namespace"},
	"ReferenceGrantTo":   {reads: "group kind name"},

	"BackendTLSPolicySpec": {reads: "targetRefs validation", refuses: map[string]string{
		"options": "leave it out: TLS 1.2 and 1.3 are spoken",
	}},
	"LocalPolicyTargetReferenceWithSectionName": {reads: "group kind name sectionName"},
	"BackendTLSPolicyValidation":                {reads: "hostname caCertificateRefs wellKnownCACertificates subjectAltNames"},
	"LocalObjectReference":                      {reads: "group kind name"},
	"SubjectAltName":                            {reads: "type hostname uri"},
}

// treatments is the table as shape looks it up: type, then field, true where it is
// read or warned of.
var treatments = index()

func index() map[string]map[string]bool {
	all := make(map[string]map[string]bool, len(fields))
	for name, u := range fields {
		all[name] = map[string]bool{}
		for field := range strings.FieldsSeq(u.reads) {
			all[name][field] = true
		}
		for field := range u.warns {
			all[name][field] = true
		}
	}
	return all
}
