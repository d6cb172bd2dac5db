// Package deliveryv1 is the generated API between mesh-controller and
// mesh-agent; delivery.proto documents it.
package deliveryv1

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative delivery.proto
