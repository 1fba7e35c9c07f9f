# Six thin targets and a few more; each is one or two lines that can be typed by hand.

GO ?= go
export CGO_ENABLED ?= 0

.PHONY: build test race bench bench-peers fuzz soak lint lab lab-big dist clean

build: ## ./kautopsy, one static binary
	$(GO) build -trimpath -o kautopsy ./cmd/kautopsy

test: ## everything that needs no more than Go
	$(GO) test ./...

race: ## the same under the race detector, which needs a C compiler
	CGO_ENABLED=1 $(GO) test -race -short ./...

bench: ## benchmarks on the committed dump
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-peers: ## beside the C libraries, libkdumpfile, drgn and crash: installs them; see testdata/peers/bench.sh
	testdata/peers/bench.sh

FUZZTIME ?= 60s
fuzz: ## each fuzz target for FUZZTIME
	for pkg in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
		$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	done; done

soak: ## 1,000 commands, 100 time-outs and 50 kills of the installed crash, 60 commands each alone; an hour at most
	KAUTOPSY_SOAK=1 $(GO) test -count=1 -v -timeout 90m -run '^TestReal' ./crashshell

lint: ## vet, staticcheck, gofumpt, govulncheck, shellcheck
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	test -z "$$($(GO) tool gofumpt -l .)"
	if command -v shellcheck >/dev/null; then shellcheck -x -P SCRIPTDIR lab/*.sh testdata/peers/*.sh .ci/run; fi
	$(GO) tool govulncheck ./...

KERNELS ?=
lab: ## boot kernels in QEMU, crash them, collect their dumps: make lab KERNELS="6.12 arm64"
	lab/run.sh $(KERNELS)

lab-big: ## a dump of 2 GiB and more for make bench-peers
	lab/run.sh big

dist: ## static binaries for the usual Linux machines, in dist/
	for arch in amd64 arm64 s390x ppc64le riscv64; do \
		GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags='-s -w' -o dist/kautopsy-linux-$$arch ./cmd/kautopsy || exit 1; \
	done

clean:
	rm -rf kautopsy dist
