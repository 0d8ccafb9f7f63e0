# Signalbox. `make help` lists what can be done here.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -s -w -X main.version=$(VERSION)
DEMO_ARGS ?=
BENCH_ARGS ?=

# The agent runs on other people's machines: these packages must compile for all of them.
PORTABLE  := ./agent/... ./agentapi/...
PLATFORMS := windows/amd64 windows/arm64 darwin/amd64 darwin/arm64 linux/arm64 freebsd/amd64

# What make dist builds, and what a server with --dist offers to machines that are to become agents.
DIST      := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64 freebsd/amd64

.PHONY: help demo build dist check check-static test sim bench web screenshots fmt fmt-check vet cross-vet lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## start a server, an agent and an example project; flags go into DEMO_ARGS
	@$(GO) run ./cmd/signalbox demo $(DEMO_ARGS)

build: ## build bin/signalbox, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/signalbox ./cmd/signalbox

dist: ## build dist/signalbox-<os>-<arch> for all systems, with SHA256SUMS; the same commit gives the same files
	rm -rf dist && mkdir dist
	@for p in $(DIST); do os=$${p%/*}; arch=$${p#*/}; exe=; if [ $$os = windows ]; then exe=.exe; fi; \
		echo "build $$p"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS) -buildid=' \
			-o dist/signalbox-$$os-$$arch$$exe ./cmd/signalbox; done
	@cd dist && if command -v sha256sum >/dev/null; then sha256sum signalbox-*; else shasum -a 256 signalbox-*; fi > SHA256SUMS
	@cat dist/SHA256SUMS

check: fmt-check vet cross-vet lint ## what to run before a commit: format, vet, staticcheck, short tests
	$(GO) test -short ./...

check-static: fmt-check vet cross-vet lint web ## everything that needs no test run

SEEDS ?= 10000

sim: ## play SEEDS simulated worlds with faults, in virtual time
	$(GO) test -count=1 -timeout 24h -run TestSimulation -v ./sim -seeds=$(SEEDS)

test: ## all tests with the race detector and a PostgreSQL of their own; nothing is skipped
	@dir=$$(scripts/setup-test-env $$$$); \
	trap 'scripts/teardown-test-env "$$dir"' EXIT; \
	trap 'exit 130' INT; trap 'exit 143' TERM; \
	. "$$dir/env"; \
	export SIGNALBOX_TEST_REQUIRE=1; \
	echo "$(GO) test -run 'TestEveryOrder|TestRandomSchedules|TestSimulation|TestASeed' ./engine ./dispatch ./sim"; \
	$(GO) test -count=1 -run 'TestEveryOrder|TestRandomSchedules|TestSimulation|TestASeed' -v ./engine ./dispatch ./sim | grep -vE '^ *(=== |--- PASS|PASS)'; \
	echo "$(GO) test -race -timeout 70m ./..."; \
	CGO_ENABLED=1 $(GO) test -race -timeout 70m ./...; \
	echo "make test: passed"

bench: ## the benchmarks, once each, with a PostgreSQL of their own
	@dir=$$(scripts/setup-test-env $$$$); \
	trap 'scripts/teardown-test-env "$$dir"' EXIT; \
	trap 'exit 130' INT; trap 'exit 143' TERM; \
	. "$$dir/env"; \
	export SIGNALBOX_TEST_REQUIRE=1; \
	$(GO) test -run '^$$' -bench . -benchmem $(BENCH_ARGS) ./...

web: ## check the browser's JavaScript and its types; nothing is bundled, the files are embedded as they are
	@if ! command -v npm >/dev/null; then \
		echo "make web: npm is not installed, so the JavaScript was not checked" >&2; exit 0; fi; \
	scripts/setup-web && web/node_modules/.bin/tsc -p web && echo "make web: the JavaScript is valid"

screenshots: ## take the pictures that the documents show
	@scripts/screenshots

fmt: ## format the Go code
	$(GO) tool gofumpt -w .

fmt-check:
	@bad=$$($(GO) tool gofumpt -l .); if [ -n "$$bad" ]; then \
		echo "not formatted (make fmt does it):" >&2; echo "$$bad" >&2; exit 1; fi

vet:
	$(GO) vet ./...

cross-vet:
	@for p in $(PLATFORMS); do echo "vet $(PORTABLE) for $$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) vet $(PORTABLE); done

lint: ## staticcheck; golangci-lint too when it is installed
	$(GO) tool staticcheck ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; fi

clean: ## remove what make built
	rm -rf bin dist
