# As root on Debian 12 with Go, git and make. test/packages.sh brings the rest.
PREFIX = /usr/local
BIN = $(CURDIR)/bin
export UML_BIN = $(BIN)

# The race detector needs cgo and a C compiler; without them the tests run without it.
RACE = $(shell test "$$(go env CGO_ENABLED)" = 1 && command -v "$$(go env CC)" >/dev/null && echo -race)

# Tools have a go.mod of their own: what they depend on is nobody's who uses this
# module, and is fetched only by who lints.
TOOL = go tool -modfile=tools/go.mod

.PHONY: build test lint fuzz vuln race proof faults demo bench bench-net bench-ctl bench-disk bench-new bench-move bare packages install install-completion clean

# Without that tag urfave/cli brings a Markdown parser for manual pages, which
# costs every start 3 ms before its first line.
build:
	CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -buildvcs=true -o $(BIN)/ ./cmd/...
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -buildvcs=true -o $(BIN)/ ./cmd/uml-overlay-init ./cmd/uml-appliance-init # they lie in guests' memory

test: packages lint build
	go test -count=1 $(RACE) $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | grep -v '/test$$')
	go test -count=1 -timeout 20m -parallel 4 ./test # a guest waits more than it computes

lint:
	@! gofmt -l . | grep .
	go vet ./...
	$(TOOL) staticcheck ./...

FUZZTIME = 10m
fuzz: packages
	@test/fuzz.sh $(FUZZTIME)

# Not of test: the database is on the network.
vuln:
	@test/vuln.sh $(TOOL) govulncheck ./...

# The racing attacker for as long as it takes to trust the result.
race: packages build
	UML_RACE="10000 200" go test -count=1 -v -timeout 3h -run 'TestRace$$' ./test

# Half an hour. A failure says its seed; UML_ROUNDS and UML_SEED are taken from the environment.
proof: packages build
	UML_ROUNDS=$${UML_ROUNDS:-500} go test -count=1 -v -timeout 4h -run '^TestRounds$$' ./test
	ROUNDS=$${ROUNDS:-20} go test -count=1 -v -timeout 1h -run '^TestMoveThereAndBack$$' ./test

# Every system call of a start fails, and it is killed at each: some 4,500 starts. Moves are cut at 60 points.
faults: packages build
	FAULTS=all go test -count=1 -timeout 3h -v -run 'TestFaults|TestMoveCut' ./test

demo: packages build
	@go run ./test/demo $(if $(KEEP),-keep) $(if $(FULL),-full)

bench: packages build
	go run ./test/bench

bench-net: packages build
	go run ./test/benchnet

bench-ctl: packages build
	go run ./test/benchctl

# The program runs in a guest too, which has no libc.
bench-disk: packages build
	CGO_ENABLED=0 go run ./test/benchdisk

# TEMPLATE is an image, such as one of uml-template; else a small one is made.
bench-new: packages build
	go run ./test/benchnew

# The program runs in a guest too, which has no libc.
bench-move: packages build
	CGO_ENABLED=0 go run ./test/benchmove

packages:
	@test/packages.sh

bare:
	test/bare.sh

install: build install-completion
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib/uml $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8
	for f in $(BIN)/uml-*; do case $$f in */uml-shell) d=bin;; */uml-*-init) d=lib/uml;; *) d=sbin;; esac; \
		install $$f $(DESTDIR)$(PREFIX)/$$d || exit 1; done
	for s in 1 5 8; do for f in docs/*.$$s; do \
		test ! -e $$f || install -m 644 $$f $(DESTDIR)$(PREFIX)/share/man/man$$s; done; done

SHARE = $(DESTDIR)$(PREFIX)/share
install-completion:
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions
	install -m 644 completion/uml-ctl.bash $(SHARE)/bash-completion/completions/uml-ctl
	for p in run net check jail shelld disk kernel template machine; do ln -sf uml-ctl $(SHARE)/bash-completion/completions/uml-$$p; done
	install -m 644 completion/_uml-ctl $(SHARE)/zsh/site-functions

clean:
	rm -rf $(BIN)
