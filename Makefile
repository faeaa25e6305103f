# As root on Debian 12 with Go, git and make. test/packages.sh brings the rest.
PREFIX = /usr/local
BIN = $(CURDIR)/bin
export UML_BIN = $(BIN)

# The race detector needs cgo and a C compiler; without them the tests run without it.
RACE = $(shell test "$$(go env CGO_ENABLED)" = 1 && command -v "$$(go env CC)" >/dev/null && echo -race)

# Tools have a go.mod of their own: what they depend on is nobody's who uses this
# module, and is fetched only by who lints.
TOOL = go tool -modfile=tools/go.mod

.PHONY: build test lint fuzz vuln race proof faults demo bench bench-net bench-ctl bench-disk bench-new bench-move bare vmhost packages install install-completion clean

# Without that tag urfave/cli brings a Markdown parser for manual pages, which
# costs every start 3 ms before its first line.
build:
	CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -ldflags='$(LDFLAGS)' -buildvcs=true -o $(BIN)/ ./cmd/...
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

# Every system call of a start fails, and it is killed at each: some 4,500 starts. Moves are ended at some 270 points.
faults: packages build
	FAULTS=all go test -count=1 -timeout 3h -v -run 'TestFaults|TestMoveKilled' ./test

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

# On a Debian host with systemd, in an emulated machine (qemu-system-x86): the package, and guests'
# shares, which it prints. Half an hour where nothing else runs.
vmhost: packages deb
	test/vmhost/vm test/vmhost/package $(OUT)/uml_*.deb
	test/vmhost/vm test/vmhost/shares $(OUT)/uml_*.deb

# Files say where make install puts programs by default; another PREFIX is written into them.
HERE = sed 's|/usr/local/\(s*bin/uml\)|$(PREFIX)/\1|g'
LIB = $(DESTDIR)$(PREFIX)/lib
SHARE = $(DESTDIR)$(PREFIX)/share
DOC = $(SHARE)/doc/uml

install: build install-completion
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(LIB)/uml $(LIB)/systemd/system $(LIB)/sysctl.d $(LIB)/modules-load.d $(SHARE)/man/man1 $(SHARE)/man/man5 $(SHARE)/man/man8 $(DOC)
	for f in $(BIN)/uml-*; do case $$f in */uml-shell) d=bin;; */uml-*-init) d=lib/uml;; *) d=sbin;; esac; \
		install $$f $(DESTDIR)$(PREFIX)/$$d || exit 1; done
	put() { mkdir -p $$(dirname $$2) && $(HERE) $$1 >$$2 && if test -x $$1; then chmod 755 $$2; else chmod 644 $$2; fi; }; set -e; \
	for s in 1 5 8; do for f in docs/*.$$s; do put $$f $(SHARE)/man/man$$s/$${f#docs/}; done; done; \
	for f in README.md docs/*.md; do put $$f $(DOC)/$${f##*/}; done; \
	find examples -type f | while read -r f; do put $$f $(DOC)/$$f; done; \
	for f in systemd/system/uml@.service systemd/system/uml-shelld.service systemd/system/uml-shelld.socket systemd/system/daemontools-run.service.d/uml.conf sysctl.d/uml.conf modules-load.d/uml.conf; do \
		put examples/$$(echo $$f | sed s,/system/,/,) $(LIB)/$$f; done
	test ! -e LICENSE || install -m 644 LICENSE $(DOC)/copyright

install-completion:
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions
	install -m 644 completion/uml-ctl.bash $(SHARE)/bash-completion/completions/uml-ctl
	for p in run net check jail shelld disk kernel template machine; do ln -sf uml-ctl $(SHARE)/bash-completion/completions/uml-$$p; done
	install -m 644 completion/_uml-ctl $(SHARE)/zsh/site-functions

# Packages, the same bytes from the same commit: times are the commit's. The version is the one
# that the programs tell: a tag, or the commit after it.
OUT = $(CURDIR)/dist
STAGE = $(OUT)/stage
export MAINTAINER ?= uml <root@localhost>

deb rpm: $(OUT)/packaged
	packaging/pack $@ $(STAGE) $(OUT) $(TOOL) nfpm

.PHONY: deb rpm $(OUT)/packaged packages-test release
$(OUT)/packaged:
	rm -rf $(STAGE) $(OUT)/bin
	$(MAKE) install DESTDIR=$(STAGE) PREFIX=/usr BIN=$(OUT)/bin LDFLAGS='-s -w'

# Installs, upgrades, removes and purges the package in a fresh Debian root.
packages-test: deb rpm
	test/installed.sh $(OUT)

# make release VERSION=1.0.0: the tag, which is all that says a version, and its packages.
release:
	@echo '$(VERSION)' | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+' || { echo 'make release VERSION=1.0.0'; exit 1; }
	@test -z "$$(git status --porcelain)" || { echo 'commit first'; exit 1; }
	git tag -a -m 'uml $(VERSION)' v$(VERSION)
	$(MAKE) deb rpm VERSION=

clean:
	rm -rf $(BIN) $(OUT)
