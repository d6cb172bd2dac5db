package istio

import "strings"

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
	"VirtualService": {reads: "hosts gateways http exportTo", refuses: map[string]string{
		"tls": "leave it out: TLS connections go to the service itself",
		"tcp": "leave it out: connections go to the service itself; a native MeshRoute splits them by weight",
	}},
	"HTTPRoute": {
		reads: "name match route redirect directResponse rewrite timeout retries fault mirror mirrors mirrorPercentage corsPolicy headers",
		warns: map[string]string{"mirrorPercent": "write mirrorPercentage: {value: ...}"},
		refuses: map[string]string{
			"delegate": "write the delegate's rules in this VirtualService",
		},
	},
	"HTTPMatchRequest": {
		reads:   "name uri scheme method authority headers port sourceLabels gateways queryParams ignoreUriCase withoutHeaders sourceNamespace",
		refuses: map[string]string{"statPrefix": "leave it out: statistics are kept by the name of the rule"},
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
		reads:   "attempts perTryTimeout retryOn retryIgnorePreviousHosts backoff",
		refuses: map[string]string{"retryRemoteLocalities": "leave it out: retries do not look at localities"},
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
		reads:   "percent minRetryConcurrency",
		refuses: map[string]string{"budgetInterval": "leave it out: the budget is a share of the requests that are active"},
	},
	"Subset": {reads: "name labels trafficPolicy"},
	"LoadBalancerSettings": {
		reads:   "simple consistentHash localityLbSetting warmup",
		warns:   map[string]string{"warmupDurationSecs": "write warmup: {duration: ...}"},
		refuses: map[string]string{"zoneAwareLbSetting": "leave it out: endpoints are chosen without regard to their zone"},
	},
	"LocalityLoadBalancerSetting": {reads: "enabled", refuses: map[string]string{
		"distribute":       "leave it out: endpoints are chosen without regard to their locality",
		"failover":         "leave it out: endpoints are chosen without regard to their locality",
		"failoverPriority": "leave it out: endpoints are chosen without regard to their locality",
	}},
	"LoadBalancerSettings.ConsistentHashLB": {
		reads: "httpHeaderName httpCookie useSourceIp httpQueryParameterName ringHash maglev",
		warns: map[string]string{"minimumRingSize": "write ringHash: {minimumRingSize: ...}"},
	},
	"LoadBalancerSettings.ConsistentHashLB.RingHash": {reads: "minimumRingSize"},
	"LoadBalancerSettings.ConsistentHashLB.MagLev":   {reads: "tableSize"},
	"LoadBalancerSettings.ConsistentHashLB.HTTPCookie": {reads: "name path ttl", refuses: map[string]string{
		"attributes": "leave them out: the cookie has its path and TTL",
	}},
	"WarmupConfiguration":                             {reads: "duration minimumPercent aggression"},
	"ConnectionPoolSettings":                          {reads: "tcp http"},
	"ConnectionPoolSettings.TCPSettings":              {reads: "maxConnections connectTimeout tcpKeepalive maxConnectionDuration idleTimeout"},
	"ConnectionPoolSettings.TCPSettings.TcpKeepalive": {reads: "probes time interval"},
	"ConnectionPoolSettings.HTTPSettings": {
		reads: "http1MaxPendingRequests http2MaxRequests maxRequestsPerConnection maxRetries idleTimeout " +
			"h2UpgradePolicy useClientProtocol maxConcurrentStreams",
		refuses: map[string]string{"http2KeepAlive": "write tcp: {tcpKeepalive: ...}"},
	},
	"OutlierDetection": {
		reads: "splitExternalLocalOriginErrors consecutiveLocalOriginFailures consecutiveGatewayErrors consecutive5xxErrors " +
			"interval baseEjectionTime maxEjectionPercent minHealthPercent",
		warns: map[string]string{"consecutiveErrors": "write consecutiveGatewayErrors (502, 503, 504) or consecutive5xxErrors"},
		refuses: map[string]string{
			"outlierDetectionHttpErrorCodes": "leave it out: consecutive5xxErrors counts every 5xx",
		},
	},
	"ClientTLSSettings": {
		reads: "mode clientCertificate privateKey caCertificates subjectAltNames sni insecureSkipVerify",
		refuses: map[string]string{
			"credentialName": "mount the certificates into the sidecar and name the files; Istio ignores it at a sidecar",
			"caCrl":          "remove it: nothing that we read says the same",
		},
	},

	"AuthorizationPolicy": {reads: "selector rules action provider", refuses: map[string]string{
		"targetRef":  "write selector: {matchLabels: ...}, which selects workloads",
		"targetRefs": "write selector: {matchLabels: ...}, which selects workloads",
	}},
	"AuthorizationPolicy.ExtensionProvider": {reads: "name"},
	"WorkloadSelector":                      {reads: "matchLabels"},
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
