# As root on Debian 12 with Go, git and make. test/packages.sh brings the rest.
PREFIX = /usr/local
BIN = $(CURDIR)/bin
export UML_BIN = $(BIN)

# The race detector needs cgo and a C compiler; without them the tests run without it.
RACE = $(shell test "$$(go env CGO_ENABLED)" = 1 && command -v "$$(go env CC)" >/dev/null && echo -race)

# Tools have a go.mod of their own: what they depend on is nobody's who uses this
# module, and is fetched only by who lints.
TOOL = go tool -modfile=tools/go.mod

.PHONY: build test guests lint fuzz vuln race proof faults demo bench bench-net bench-ctl bench-disk bench-new bench-move bench-pace bench-density soak bare vmhost packages install install-completion licenses site clean

# Without that tag urfave/cli brings a Markdown parser for manual pages, which
# costs every start 3 ms before its first line.
build:
	CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -ldflags='$(LDFLAGS)' -buildvcs=true -o $(BIN)/ ./cmd/...
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -buildvcs=true -o $(BIN)/ ./cmd/uml-overlay-init ./cmd/uml-appliance-init # they lie in guests' memory

test: packages build
	go test -count=1 -p 4 $(RACE) $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | grep -v '/test$$')
	@$(MAKE) --no-print-directory -j2 guests lint

# A guest waits more than it computes: several at once, and lint beside them.
guests:
	go test -count=1 -timeout 20m -parallel 6 ./test

lint:
	@! gofmt -l . | grep .
	go vet ./...
	cd tools && go vet ./...
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

# Half an hour. TEMPLATE is an image that uml-template has made of debian:bookworm; else it is made.
bench-pace: packages build
	go run ./test/benchpace $(if $(TEMPLATE),-template $(TEMPLATE))

# N guests; some 25 minutes for thirty, 6 GB of RAM.
bench-density: packages build
	go run ./test/benchdensity $(if $(N),-n $(N))

# Not of test: an hour, and 30 guests. KEEP=1 keeps the logs if anything is found.
MINUTES = 60
GUESTS = 30
EVERY = 2.5s
soak: packages build
	CGO_ENABLED=0 go run ./test/soak -minutes $(MINUTES) -guests $(GUESTS) -every $(EVERY) $(if $(SEED),-seed $(SEED)) $(if $(KEEP),-keep)

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
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(LIB)/uml $(LIB)/systemd/system $(LIB)/sysctl.d $(LIB)/modules-load.d $(DOC)
	for f in $(BIN)/uml-*; do case $$f in */uml-shell) d=bin;; */uml-*-init) d=lib/uml;; *) d=sbin;; esac; \
		install $$f $(DESTDIR)$(PREFIX)/$$d || exit 1; done
	put() { mkdir -p $$(dirname $$2) && $(HERE) $$1 >$$2 && if test -x $$1; then chmod 755 $$2; else chmod 644 $$2; fi; }; set -e; \
	for f in docs/*.[1-9]; do put $$f $(SHARE)/man/man$${f##*.}/$${f#docs/}; done; \
	find *.md docs -name '*.md' -o -name '*.patch' -o -name '*.config' -o -name first-init | while read -r f; do put $$f $(DOC)/$$f; done; \
	find examples -type f | while read -r f; do put $$f $(DOC)/$$f; done; \
	for f in systemd/system/uml@.service systemd/system/uml-shelld.service systemd/system/uml-shelld.socket systemd/system/uml-metrics.service systemd/system/uml-metrics-file.service systemd/system/uml-metrics-file.timer systemd/system/daemontools-run.service.d/uml.conf sysctl.d/uml.conf modules-load.d/uml.conf; do \
		put examples/$$(echo $$f | sed s,/system/,/,) $(LIB)/$$f; done
	{ cat LICENSE; printf '\n%s\n' "The patches to Linux in docs/ are under Linux's licence, GPL-2.0 (Debian has it in /usr/share/common-licenses/GPL-2). What is linked into the programs: see THIRD-PARTY."; } >$(DOC)/copyright
	$(MAKE) -s --no-print-directory licenses >$(DOC)/THIRD-PARTY

install-completion:
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions
	install -m 644 completion/uml-ctl.bash $(SHARE)/bash-completion/completions/uml-ctl
	for p in run net check jail shelld disk kernel template machine metrics balance; do ln -sf uml-ctl $(SHARE)/bash-completion/completions/uml-$$p; done
	install -m 644 completion/_uml-ctl $(SHARE)/zsh/site-functions

# Packages, the same bytes from the same commit: times are the commit's. The version is the one
# that the programs tell: a tag, or the commit after it.
OUT = $(CURDIR)/dist
STAGE = $(OUT)/stage
export MAINTAINER ?= uml <root@localhost>

deb rpm: $(OUT)/packaged
	packaging/pack $@ $(STAGE) $(OUT) $(TOOL) nfpm

.PHONY: deb rpm $(OUT)/packaged packages-test release licenses site
$(OUT)/packaged:
	rm -rf $(STAGE) $(OUT)/bin
	$(MAKE) install DESTDIR=$(STAGE) PREFIX=/usr BIN=$(OUT)/bin LDFLAGS='-s -w'

# Installs, upgrades, removes and purges the package in a fresh Debian root.
packages-test: deb rpm
	test/installed.sh $(OUT)

# make release VERSION=1.0.0: the tag, which is all that says a version, and its packages. Its text is
# the changelog's section of that version.
SECTION = awk '/^\#\# /{on=index($$0, "\#\# [$(VERSION)] - ")==1; next} /^\[/{on=0} on' CHANGELOG.md
release:
	@echo '$(VERSION)' | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+' || { echo 'make release VERSION=1.0.0'; exit 1; }
	@test -z "$$(git status --porcelain)" || { echo 'commit first'; exit 1; }
	@$(SECTION) | grep -q . || { echo 'CHANGELOG.md has no "## [$(VERSION)] - DATE" with what is new'; exit 1; }
	{ printf 'uml %s\n\n' '$(VERSION)'; $(SECTION); } | git tag -a --cleanup=whitespace -F - v$(VERSION)
	$(MAKE) deb rpm VERSION=

# The licences of what is linked in, as packages bring them.
licenses:
	@cd tools && go run ./licenses ..

# The documentation as HTML: docs/ and the manual pages.
site:
	@command -v mandoc >/dev/null || { apt-get -q update && apt-get -q -y --no-install-recommends install mandoc; }
	rm -rf site
	cd tools && go run ./site .. ../site

clean:
	rm -rf $(BIN) $(OUT) site
