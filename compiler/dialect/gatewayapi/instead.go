package gatewayapi

// natively says what to write instead of a kind that is not translated.
var natively = map[string]string{
	"UDPRoute": "remove it: proxies take TCP alone",
}

// Instead says what to write instead of a kind of the Gateway API that has no
// translator, "" where nothing is known of it.
func Instead(kind string) string { return natively[kind] }
