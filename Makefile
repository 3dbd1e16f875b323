# The targets with a description are the interface; `make` lists them.
.DEFAULT_GOAL := help

.PHONY: help build test bench demo lint golden docs ci

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build bin/regctl, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/regctl ./cmd/regctl

test: ## install what the tests need, run them all, count the skipped ones
	.ci/test

bench: build ## measure speed and memory, as ratios in one run, and note them in README.md
	go run ./cmd/bench bin/regctl README.md

demo: build ## set up a registry and play the access scenario against it
	.ci/tools crane
	examples/demo/demo.sh bin/regctl .tools/bin/crane

lint: ## check format, code, scripts and go.mod
	.ci/lint

golden: ## rewrite the golden files from what the code makes now
	UPDATE=1 go test ./...

docs: ## rewrite the generated documents; make test fails when they are out of date
	.ci/tools crane
	UPDATE=1 go test -count=1 -run '^TestDocs' ./...

ci: ## what continuous integration runs: test and lint
	.ci/run
