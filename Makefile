# pacsfs: `make demo` shows it at work, `make test` proves it. Both install what they lack.
.PHONY: help setup build demo test crash bench bench-full bench-durability bench-reads bench-metadata bench-messages bench-erasure lint format conformance clean
.DEFAULT_GOAL := help

SOURCES := $(shell find base fs shard aggregate tiering mountd bench test -name '*.ts' 2>/dev/null)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: ## install npm and Debian packages that are missing
	@scripts/setup.sh node system

build: setup dist/.built ## compile to dist/

dist/.built: $(SOURCES) tsconfig.json tsconfig.build.json package-lock.json scripts/bundle.mjs
	@npx tsc -p tsconfig.build.json
	@node scripts/bundle.mjs dist
	@touch $@

demo: build ## format a store, mount it, write studies, remount, prove every byte (under 3 minutes)
	@scripts/setup.sh demo
	@node dist/bench/demo.js

test: build ## all tests (unit, simulation, end to end on real mounts)
	@scripts/setup.sh test
	@npx vitest run

crash: build ## the crash suite at length: CRASH_ROUNDS=200 kills, CRASH_STATES=10000 power cuts, from seeds of chance; CRASH_SEED=N repeats a run
	@scripts/setup.sh test
	@CRASH_SEED=$${CRASH_SEED:-random} CRASH_ROUNDS=$${CRASH_ROUNDS:-200} CRASH_STATES=$${CRASH_STATES:-10000} npx vitest run test/crash

bench: build ## pacsfs against the filesystem below and other FUSE filesystems, on one image, in under 15 minutes
	@scripts/setup.sh bench
	@node dist/bench/main.js

bench-full: build ## WORKLOAD=NAME: that one at length, on ext4 and XFS; goes on where it was interrupted; without a name: lists them
	@scripts/setup.sh bench
	@node dist/bench/main.js full $(WORKLOAD)

bench-durability: build ## fsync beside a stream, flush counts, cost of the journal, pause of a restart
	@node dist/bench/durability.js

bench-reads: build ## hot reads and creates beside readers of a slow disk
	@node dist/bench/reads.js

bench-metadata: build ## names in directories of 10^3 to 10^7 files, listings, rm -r, bytes a file; ROWS=... for some of it
	@scripts/setup.sh bench
	@node dist/bench/metadata.js $(ROWS)

bench-messages: build ## messages that the kernel sends for each file of what programs do
	@scripts/setup.sh bench
	@node dist/bench/messages.js

bench-erasure: build ## what erasure coding costs: encode, write, read, read without two directories
	@node dist/bench/erasure.js

lint: setup ## formatting, lint rules, the law of imports, type check
	@npx biome check .
	@node scripts/tidy.mjs
	@npx tsc --noEmit

format: setup ## let the formatter rewrite the sources
	@npx biome check --write .

conformance: build ## run a built pjdfstest checkout: make conformance PJDFSTEST=DIR
	@scripts/setup.sh test
	@node dist/bench/conformance.js "$(PJDFSTEST)"

clean: ## remove what was built
	@rm -rf dist
