# The two commands of the README are `make run` and `make test`; both install what this machine lacks.

ARGS ?=
POLICY ?=

# One way to build for everything, a release's, so that nothing is compiled twice.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath

.PHONY: run test build web bench mutants clean

run: build        ## the whole of Sotto on this machine: http://localhost:8787
	bin/sottod demo $(ARGS)

build: web        ## the programs, into bin/
	go build -o bin/ ./cmd/sotto ./cmd/sottod ./cmd/sotto-node

web:              ## the page and its core, into web/dist; POLICY=FILE pins what it wants of machines
	@script/need node:nodejs npm:npm
	@script/npm web
	go run ./web/build$(if $(POLICY), -policy $(POLICY))

test:             ## everything there is; ends with a summary line
	@script/test

bench:            ## the figures of docs/performance.md
	@script/bench

mutants:          ## takes checks out one at a time, and lists what no test notices
	go run ./test/mutants ./attest/... ./seal/... ./vault/... ./tlog/... ./release/...

clean:
	rm -rf bin .cache web/dist/* web/node_modules test/*/node_modules
