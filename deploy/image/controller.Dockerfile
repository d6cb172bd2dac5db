# The image of every role: docker build -f deploy/image/controller.Dockerfile -t mesh-controller:dev .
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /mesh-controller ./cmd/mesh-controller

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /mesh-controller /mesh-controller
USER 65532:65532
ENTRYPOINT ["/mesh-controller"]
