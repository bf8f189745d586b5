# The whole interface for developers. `make` alone prints it.

GO           ?= go
LINT_VERSION := v2.15.0
LINT         := bin/golangci-lint-$(LINT_VERSION)
# Every module of go.work as a pattern: there is no root module for ./... .
MODULES       = $(shell $(GO) list -m -f '{{.Dir}}/...')
RELEASE      := $(GO) run ./tools/cmd/release

.DEFAULT_GOAL := help
.PHONY: help check fmt vet lint repotest release-check test race bench conformance conformance-beside rehearse tidy clean model simulate rabbitmq4

help: ## print what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

check: fmt vet lint repotest release-check ## everything that needs no server: format, vet, lint, repository rules, change notes

fmt: ## fail when gofmt would change a file
	@changed=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	if [ -n "$$changed" ]; then echo "gofmt would change:"; echo "$$changed"; exit 1; fi

vet: ## go vet over every module
	$(GO) vet work

lint: $(LINT) ## golangci-lint over every module
	$(LINT) run $(MODULES)

# The linter's requirements stay out of everyone's version selection: it is
# built from its own module, with the workspace off.
$(LINT): tools/lint/go.mod tools/lint/go.sum
	GOWORK=off GOFLAGS= $(GO) build -C tools/lint -trimpath -o "$(CURDIR)/$(LINT)" github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@$(LINT) version | grep -q "$(LINT_VERSION:v%=%)" || { echo "tools/lint pins another version than $(LINT_VERSION)"; rm -f $(LINT); exit 1; }

repotest: ## the repository's own rules
	$(GO) test -count=1 ./internal/repotest/... # what it reads is outside of its module, unknown to the cache

release-check: ## change notes and versions agree
	$(RELEASE) check

test: ## all tests of all modules
	$(GO) test work

race: ## all tests of all modules with the race detector
	$(GO) test -race work

bench: ## the figures against rivals, with their bounds
	$(GO) run ./benchmarks/cmd/ratios -check

conformance: ## the HTTP cache test suite against cache; writes docs/conformance.md
	$(GO) run ./tools/conformance/cmd/conformance -out docs/conformance.md

conformance-beside: ## the same tests through rivals too; writes docs/conformance-beside.md
	$(GO) run ./tools/conformance/cmd/conformance -beside docs/conformance-beside.md

model: ## check the RESN protocol's model exhaustively; needs spin and a C compiler
	resn/model/check.sh

rabbitmq4: ## rabbitbus's tests against Debian 13's RabbitMQ 4, kept in ROOT; needs root, debootstrap and 450 MB
	bus/rabbitbus/testdata/debian.sh trixie $(or $(ROOT),/var/tmp/swale-trixie)

simulate: ## simulate the whole system with SEEDS seeds, a million unless said otherwise
	$(GO) test ./internal/system -run 'TestSimulator$$' -sim.seeds=$(or $(SEEDS),1e6) -timeout 0 -v

rehearse: ## prove from a file proxy that every module can be released
	$(RELEASE) rehearse

tidy: ## go mod tidy in every module, with siblings from the tree
	$(RELEASE) tidy

clean: ## delete what was built into bin
	rm -rf bin
