package istio

//go:generate go test -count=1 -run ^TestReference$ . -update

import (
	"strings"
)

// use says what becomes of the fields of one protobuf message.
type use struct {
	reads string // names separated by spaces
	// warns are read as well, and are deprecated: what to write instead.
	warns map[string]string
	// refuses are not implemented: what to do instead. Istio's default value is
	// accepted, since it changes nothing.
	refuses map[string]string
}

// fields has every message that a supported kind can reach through fields that
// are read. A field that Istio adds is refused until it stands here; a test
// compares the table with the descriptors.
var fields = map[string]use{
	"Gateway": {reads: "servers selector"},
	"Server": {reads: "port hosts tls name", refuses: map[string]string{
		"bind":            "leave it out: the agent's --bind-address says where listeners bind",
		"defaultEndpoint": "leave it out: Istio ignores it",
	}},
	"Port": {reads: "number protocol name", refuses: map[string]string{"targetPort": "leave it out: the Service of the gateway maps its port"}},
	"ServerTLSSettings": {
		reads: "httpsRedirect mode credentialName credentialNames caCertCredentialName subjectAltNames minProtocolVersion maxProtocolVersion cipherSuites",
		refuses: map[string]string{
			"serverCertificate":     "write credentialName: a directory beside the gateway's agent with tls.crt and tls.key",
			"privateKey":            "write credentialName: a directory beside the gateway's agent with tls.crt and tls.key",
			"caCertificates":        "write caCertCredentialName: a directory beside the gateway's agent with ca.crt",
			"tlsCertificates":       "write credentialNames: directories beside the gateway's agent with tls.crt and tls.key",
			"caCrl":                 "remove it: nothing that we read says the same",
			"verifyCertificateSpki": "write subjectAltNames",
			"verifyCertificateHash": "write subjectAltNames",
			"insecureSkipVerify":    "remove it: a client's certificate that nobody verified says nothing",
		},
	},
	"VirtualService": {reads: "hosts gateways http tls tcp exportTo"},
	"TLSRoute":       {reads: "match route"},
	"TLSMatchAttributes": {reads: "sniHosts port sourceLabels gateways sourceNamespace", refuses: map[string]string{
		"destinationSubnets": "match sniHosts: addresses of services are not part of a release",
	}},
	"TCPRoute": {reads: "match route"},
	"L4MatchAttributes": {reads: "port sourceLabels gateways sourceNamespace", refuses: map[string]string{
		"destinationSubnets": "match port: addresses of services are not part of a release",
		"sourceSubnet":       "remove it: Istio ignores it",
	}},
	"RouteDestination": {reads: "destination weight"},
	"HTTPRoute": {
		reads: "name match route redirect directResponse rewrite timeout retries fault mirror mirrors mirrorPercentage corsPolicy headers delegate",
		warns: map[string]string{"mirrorPercent": "write mirrorPercentage: {value: ...}"},
	},
	"Delegate": {reads: "name namespace"},
	"HTTPMatchRequest": {
		reads: "name uri scheme method authority headers port sourceLabels gateways queryParams ignoreUriCase withoutHeaders sourceNamespace statPrefix",
	},
	"StringMatch":              {reads: "exact prefix regex"},
	"HTTPRouteDestination":     {reads: "destination weight headers"},
	"Destination":              {reads: "host subset port"},
	"PortSelector":             {reads: "number"},
	"Headers":                  {reads: "request response"},
	"Headers.HeaderOperations": {reads: "set add remove"},
	"HTTPRedirect":             {reads: "uri authority port derivePort scheme redirectCode prefixRewrite"},
	"HTTPDirectResponse":       {reads: "status body"},
	"HTTPBody":                 {reads: "string bytes"},
	"HTTPRewrite":              {reads: "uri authority uriRegexRewrite"},
	"RegexRewrite":             {reads: "match rewrite"},
	"HTTPRetry": {
		reads: "attempts perTryTimeout retryOn retryIgnorePreviousHosts backoff retryRemoteLocalities",
	},
	"HTTPFaultInjection": {reads: "delay abort"},
	"HTTPFaultInjection.Delay": {
		reads:   "fixedDelay percentage",
		warns:   map[string]string{"percent": "write percentage: {value: ...}"},
		refuses: map[string]string{"exponentialDelay": "write fixedDelay: Istio does not implement it either"},
	},
	"HTTPFaultInjection.Abort": {
		reads:   "httpStatus grpcStatus percentage",
		refuses: map[string]string{"http2Error": "write httpStatus or grpcStatus: Istio does not implement it either"},
	},
	"Percent":          {reads: "value"},
	"HTTPMirrorPolicy": {reads: "destination percentage"},
	"CorsPolicy": {
		reads: "allowOrigins allowMethods allowHeaders exposeHeaders maxAge allowCredentials unmatchedPreflights",
		warns: map[string]string{"allowOrigin": "write allowOrigins: [{exact: ...}]"},
	},

	"DestinationRule": {reads: "host trafficPolicy subsets exportTo", refuses: map[string]string{
		"workloadSelector": "leave it out: the settings hold for every client",
	}},
	"TrafficPolicy": {
		reads: "loadBalancer connectionPool outlierDetection tls portLevelSettings retryBudget",
		refuses: map[string]string{
			"tunnel":        "remove it: nothing that we read says the same",
			"proxyProtocol": "remove it: nothing that we read says the same",
		},
	},
	"TrafficPolicy.PortTrafficPolicy": {reads: "port loadBalancer connectionPool outlierDetection tls"},
	"TrafficPolicy.RetryBudget": {
		reads: "percent minRetryConcurrency budgetInterval",
	},
	"Subset": {reads: "name labels trafficPolicy"},
	"LoadBalancerSettings": {
		reads:   "simple consistentHash localityLbSetting warmup",
		warns:   map[string]string{"warmupDurationSecs": "write warmup: {duration: ...}"},
		refuses: map[string]string{"zoneAwareLbSetting": "write localityLbSetting: a proxy would have to know the endpoints of its own workload to balance over zones itself"},
	},
	"LocalityLoadBalancerSetting":            {reads: "enabled distribute failover failoverPriority"},
	"LocalityLoadBalancerSetting.Distribute": {reads: "from to"},
	"LocalityLoadBalancerSetting.Failover":   {reads: "from to"},
	"LoadBalancerSettings.ConsistentHashLB": {
		reads: "httpHeaderName httpCookie useSourceIp httpQueryParameterName ringHash maglev",
		warns: map[string]string{"minimumRingSize": "write ringHash: {minimumRingSize: ...}"},
	},
	"LoadBalancerSettings.ConsistentHashLB.RingHash":             {reads: "minimumRingSize"},
	"LoadBalancerSettings.ConsistentHashLB.MagLev":               {reads: "tableSize"},
	"LoadBalancerSettings.ConsistentHashLB.HTTPCookie":           {reads: "name path ttl attributes"},
	"LoadBalancerSettings.ConsistentHashLB.HTTPCookie.Attribute": {reads: "name value"},
	"WarmupConfiguration":                                        {reads: "duration minimumPercent aggression"},
	"ConnectionPoolSettings":                                     {reads: "tcp http"},
	"ConnectionPoolSettings.TCPSettings":                         {reads: "maxConnections connectTimeout tcpKeepalive maxConnectionDuration idleTimeout"},
	"ConnectionPoolSettings.TCPSettings.TcpKeepalive":            {reads: "probes time interval"},
	"ConnectionPoolSettings.HTTPSettings": {
		reads: "http1MaxPendingRequests http2MaxRequests maxRequestsPerConnection maxRetries idleTimeout " +
			"h2UpgradePolicy useClientProtocol maxConcurrentStreams http2KeepAlive",
	},
	"ConnectionPoolSettings.HTTPSettings.ConnectionKeepalive": {reads: "interval timeout"},
	"OutlierDetection": {
		reads: "splitExternalLocalOriginErrors consecutiveLocalOriginFailures consecutiveGatewayErrors consecutive5xxErrors " +
			"interval baseEjectionTime maxEjectionPercent minHealthPercent outlierDetectionHttpErrorCodes",
		warns: map[string]string{"consecutiveErrors": "write consecutiveGatewayErrors (502, 503, 504) or consecutive5xxErrors"},
	},
	"ClientTLSSettings": {
		reads: "mode clientCertificate privateKey caCertificates subjectAltNames sni insecureSkipVerify",
		refuses: map[string]string{
			"credentialName": "mount the certificates into the sidecar and name the files; Istio ignores it at a sidecar",
			"caCrl":          "remove it: nothing that we read says the same",
		},
	},

	"ServiceEntry": {reads: "hosts ports location resolution endpoints exportTo subjectAltNames", refuses: map[string]string{
		"addresses":        "remove them: requests are known by their host, TLS by its server name, other connections by their port",
		"workloadSelector": "list the endpoints, or write a MeshWorkload for a workload of the mesh",
	}},
	"ServicePort": {reads: "number protocol name targetPort"},
	"WorkloadEntry": {reads: "address ports labels locality weight", refuses: map[string]string{
		"network":        "remove it: proxies reach every endpoint directly",
		"serviceAccount": "write a MeshWorkload for a workload of the mesh, whose identity clients expect",
	}},

	"AuthorizationPolicy": {reads: "selector rules action provider", refuses: map[string]string{
		"targetRef":  "write selector: {matchLabels: ...}, which selects workloads",
		"targetRefs": "write selector: {matchLabels: ...}, which selects workloads",
	}},
	"AuthorizationPolicy.ExtensionProvider": {reads: "name"},
	"type.WorkloadSelector":                 {reads: "matchLabels"},
	"Rule":                                  {reads: "from to when"},
	"Rule.From":                             {reads: "source"},
	"Rule.To":                               {reads: "operation"},
	"Source": {
		reads: "principals notPrincipals namespaces notNamespaces serviceAccounts notServiceAccounts " +
			"ipBlocks notIpBlocks remoteIpBlocks notRemoteIpBlocks",
		refuses: map[string]string{
			"requestPrincipals":    "decide by principals, namespaces or serviceAccounts: tokens are not verified yet, and without the condition the rule would be wider",
			"notRequestPrincipals": "decide by principals, namespaces or serviceAccounts: tokens are not verified yet, and without the condition the rule would be wider",
			"trustDomains":         "write principals: [\"the-domain/*\"]",
			"notTrustDomains":      "write notPrincipals: [\"the-domain/*\"]",
		},
	},
	"Operation":                    {reads: "hosts notHosts ports notPorts methods notMethods paths notPaths"},
	"Condition":                    {reads: "key values notValues"},
	"PeerAuthentication":           {reads: "selector mtls portLevelMtls"},
	"PeerAuthentication.MutualTLS": {reads: "mode"},

	"Telemetry": {reads: "selector tracing metrics accessLogging", refuses: map[string]string{
		"targetRef":  "write selector: gateways and waypoints of others are not ours",
		"targetRefs": "write selector: gateways and waypoints of others are not ours",
	}},
	"Tracing": {
		reads: "match providers randomSamplingPercentage disableSpanReporting customTags useRequestIdForTraceSampling enableIstioTags",
		refuses: map[string]string{
			"disableContextPropagation": "remove it: each proxy passes the trace on",
		},
	},
	"Tracing.TracingSelector": {reads: "mode"},
	"Tracing.CustomTag": {reads: "literal header", refuses: map[string]string{
		"environment": "write literal: the environment of a proxy is not the release's to tell",
		"formatter":   "write literal or header",
	}},
	"Tracing.Literal":       {reads: "value"},
	"Tracing.RequestHeader": {reads: "name defaultValue"},
	"ProviderRef":           {reads: "name"},
	"Metrics": {reads: "providers", refuses: map[string]string{
		"overrides":         "remove them: every proxy keeps the same metrics with the same labels",
		"reportingInterval": "remove it: Prometheus's scrape_interval says how often",
	}},
	"AccessLogging":             {reads: "match providers disabled filter"},
	"AccessLogging.LogSelector": {reads: "mode"},
	"AccessLogging.Filter":      {reads: "expression"},
}

// treatment of a field.
type treatment uint8

const (
	refused treatment = iota // also what the table does not know
	read
	warned
)

type rule struct {
	treatment
	instead string
}

var treatments = index()

// index turns the table into what shape looks up: message, then field.
func index() map[string]map[string]rule {
	all := make(map[string]map[string]rule, len(fields))
	for message, u := range fields {
		rules := map[string]rule{}
		for name := range strings.FieldsSeq(u.reads) {
			rules[name] = rule{treatment: read}
		}
		for name, instead := range u.warns {
			rules[name] = rule{warned, instead}
		}
		for name, instead := range u.refuses {
			rules[name] = rule{refused, instead}
		}
		all[message] = rules
	}
	return all
}
