# Everything a contributor runs. Real programs that the tests start (Envoy, OPA) and the linters
# are installed below .tools/ by test/tools/install; ENVOY=... or OPA=... uses one of yours instead.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
TIMEOUT ?= 30m
BENCH ?= .
BENCHTIME ?= 1s

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs into bin/
	$(GO) build -o bin/ ./cmd/...

.PHONY: demo
demo: tools ## Compile, sign and deliver a policy to real Envoys and check that traffic obeys (KEEP=1 leaves it running)
	@$(GO) build -o bin/demo ./test/demo # not go run, which keeps SIGTERM to itself
	@exec bin/demo

.PHONY: test
test: tools lint ## Lint, then run every test, those against the real Envoy and OPA included
	$(GO) test -timeout $(TIMEOUT) ./...
	@$(MAKE) --no-print-directory test-oldest

.PHONY: test-oldest
test-oldest: tools ## Run every feature on the oldest Envoy that is supported
	@oldest=$${ENVOY_OLDEST:-.tools/bin/envoy-oldest}; \
	[[ ! -x $$oldest ]] || ENVOY=$$(realpath "$$oldest") $(GO) test -timeout $(TIMEOUT) -run 'TestFeatures|TestSlicesAreValid' ./test/feature

.PHONY: test-short
test-short: ## Run the tests that need no more than a few seconds
	$(GO) test -short -timeout $(TIMEOUT) ./...

.PHONY: test-kubernetes
test-kubernetes: tools ## Run the tests that start a Kubernetes: the roles, the manifests, Flux, real Envoys
	@packages=$$(grep -rl --include='*_test.go' '"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"' . | xargs dirname | sort -u); \
	$(GO) test -count=1 -timeout $(TIMEOUT) $$packages ./test/kubernetes/kubetest

.PHONY: bench
bench: ## Run the benchmarks (BENCH=regexp BENCHTIME=1s)
	@packages=$$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs dirname 2>/dev/null | sort -u || true); \
	[[ -z $$packages ]] || $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -timeout $(TIMEOUT) $$packages

.PHONY: lint
lint: tools ## go vet, gofmt, staticcheck, actionlint
	$(GO) vet ./...
	@unformatted=$$(gofmt -l .); \
	[[ -z $$unformatted ]] || { printf 'run gofmt -w on:\n%s\n' "$$unformatted" >&2; exit 1; }
	test/tools/run staticcheck ./...
	test/tools/run actionlint

.PHONY: tools
tools: ## Install Envoy, OPA and the linters into .tools/, each at its pinned version
	@test/tools/install

.PHONY: generate
generate: ## Regenerate what is derived from the Go types (schemas, reference pages)
	$(GO) generate ./...
