# Every target with a ## comment is public; `make` alone lists them.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN   := $(CURDIR)/.bin
TOOLS := $(BIN)/.tools-$(shell sha256sum tools/go.sum 2>/dev/null | cut -c1-12)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: help run test check bench bench-eventstore generate fmt lint contract setup compose clean build client conformance

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

run: build setup ## build the server and start it with everything embedded
	$(BIN)/g4fagent serve $(ARGS)

build: ## build the server into .bin/
	@mkdir -p $(BIN)
	@go build -ldflags "-X main.build=$(VERSION)" -o $(BIN)/g4fagent ./cmd/g4fagent

test: setup ## run all tests with the race detector, as CI does
	@scripts/test.sh

check: lint ## lint, verify the generated code, and run all tests
	@$(MAKE) --no-print-directory generate
	@git diff --exit-code -- api
	@$(MAKE) --no-print-directory test

bench: build setup ## measure the whole system against this machine's own limits
	@go run ./cmd/bench $(ARGS)

bench-eventstore: ## measure the embedded event store against raw Pebble and bare gRPC
	@go run ./cmd/bench-eventstore $(ARGS)

generate: $(TOOLS) ## generate the HTTP surface from api/openapi.yaml
	@cd api && $(BIN)/oapi-codegen -config oapi-codegen.yaml openapi.yaml

fmt: $(TOOLS) ## format the source
	@$(BIN)/golangci-lint fmt

lint: $(TOOLS) ## check style, directions of imports and purity
	@$(BIN)/golangci-lint run
	@$(BIN)/golangci-lint fmt --diff

setup: ## install what is missing: Postgres (Debian, as root or with sudo)
	@scripts/setup.sh

contract: $(TOOLS) ## check that the API breaks nothing that was released
	@$(BIN)/oasdiff breaking --fail-on WARN api/released.yaml api/openapi.yaml

client: build ## check a TypeScript client made from the document against the server
	@scripts/client.sh $(BIN)/g4fagent

conformance: build ## hold the embedded event store to EventStoreDB's behaviour, with other official clients
	@scripts/conformance.sh $(BIN)/g4fagent

compose: ## check docker-compose.yml
	@POSTGRES_PASSWORD=x G4FAGENT_ADMIN_PASSWORD=x docker-compose config --quiet && echo 'docker-compose.yml is valid'

clean: ## remove what was built; data folders stay
	rm -rf $(BIN)

# The tools are built once, apart from the program's own modules.
$(TOOLS):
	@mkdir -p $(BIN)
	@cd tools && GOBIN=$(BIN) go install tool
	@rm -f $(BIN)/.tools-* && touch $@
