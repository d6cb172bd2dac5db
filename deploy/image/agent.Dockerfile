# Agent and Envoy in one image: docker build -f deploy/image/agent.Dockerfile -t mesh-agent:dev .
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /mesh-agent ./cmd/mesh-agent

FROM envoyproxy/envoy:v1.40.0
COPY --from=build /mesh-agent /usr/local/bin/mesh-agent
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/mesh-agent", "--envoy=/usr/local/bin/envoy"]
