package hystrix

// Properties that mean something to a proxy, after the key of a command or a pool
// (github.com/Netflix/Hystrix/wiki/Configuration).
const (
	strategy       = "execution.isolation.strategy"
	timeout        = "execution.isolation.thread.timeoutInMilliseconds"
	timeoutOld     = "execution.isolation.semaphore.timeoutInMilliseconds"
	timeoutEnabled = "execution.timeout.enabled"
	semaphore      = "execution.isolation.semaphore.maxConcurrentRequests"
	poolOverride   = "threadPoolKeyOverride"
	breaker        = "circuitBreaker.enabled"
	volume         = "circuitBreaker.requestVolumeThreshold"
	window         = "circuitBreaker.sleepWindowInMilliseconds"
	percentage     = "circuitBreaker.errorThresholdPercentage"
	forceOpen      = "circuitBreaker.forceOpen"
	forceClosed    = "circuitBreaker.forceClosed"
	rolling        = "metrics.rollingStats.timeInMilliseconds"

	coreSize    = "coreSize"
	maximumSize = "maximumSize"
	queueSize   = "maxQueueSize"
	rejection   = "queueSizeRejectionThreshold"
	diverge     = "allowMaximumSizeToDivergeFromCoreSize"
)

// defaults are Hystrix's own (HystrixCommandProperties, HystrixThreadPoolProperties).
var defaults = map[string]string{
	strategy: "THREAD", timeout: "1000", timeoutEnabled: "true", semaphore: "10", poolOverride: "",
	breaker: "true", volume: "20", window: "5000", percentage: "50", forceOpen: "false", forceClosed: "false", rolling: "10000",
	coreSize: "10", maximumSize: "10", queueSize: "-1", rejection: "5", diverge: "false",
}

// commandLeft and poolLeft have no counterpart, and why.
var (
	commandLeft = map[string]string{
		"execution.isolation.thread.interruptOnTimeout":      "a proxy resets the stream of a request that took too long: there is no thread to interrupt",
		"execution.isolation.thread.interruptOnFutureCancel": "a caller that hangs up ends its request: there is no thread to interrupt",
		"execution.isolation.thread.interruptOnCancel":       "a caller that hangs up ends its request: there is no thread to interrupt",
		"fallback.isolation.semaphore.maxConcurrentRequests": "a fallback of TrafficPolicy is answered by the proxy, without a limit of its own",
		"fallback.enabled":                              "the fallback itself is code: write what it answers as spec.fallback of the TrafficPolicy",
		"metrics.rollingStats.numBuckets":               "an interval is one bucket",
		"metrics.rollingPercentile.enabled":             "latency histograms are always kept",
		"metrics.rollingPercentile.timeInMilliseconds":  "windows of percentiles are chosen where metrics are read",
		"metrics.rollingPercentile.numBuckets":          "windows of percentiles are chosen where metrics are read",
		"metrics.rollingPercentile.bucketSize":          "windows of percentiles are chosen where metrics are read",
		"metrics.healthSnapshot.intervalInMilliseconds": "endpoints are judged once an interval",
		"requestCache.enabled":                          "there is no request cache",
		"requestLog.enabled":                            "what is logged of requests is the access log",
	}
	poolLeft = map[string]string{
		"keepAliveTimeMinutes":                    "there are no threads to keep; spec.connections.idleTimeout is about connections",
		"metrics.rollingStats.timeInMilliseconds": "statistics are kept of services, not of pools",
		"metrics.rollingStats.numBuckets":         "statistics are kept of services, not of pools",
	}
)
