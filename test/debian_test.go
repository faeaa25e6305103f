package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"uml/fault"
	"uml/sparse"
	"uml/test/lab"
)

// A built is a template, of which the lab that it was made in may be gone.
type built struct {
	full     string
	image    *os.File
	manifest []byte
	err      error
}

var (
	debianOnce sync.Once
	debianMade built
)

// debian puts a template of that name in the lab's store, and returns its full name: a
// system of Debian's packages, from the host's configured mirror by the real mmdebstrap.
// It is made once in a run of the tests.
func debian(t *testing.T, l *lab.Lab) (full string) {
	t.Helper()
	debianOnce.Do(func() { debianMade = buildDebian(t) })
	if debianMade.err != nil {
		t.Fatal(debianMade.err)
	}
	in, b := debianMade.image, debianMade
	st, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(l.Dir, "templates", b.full)
	out, err := os.OpenFile(at+".img", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := sparse.Clone(t.Context(), out, in, st.Size(), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at+".json", b.manifest, 0o644); err != nil {
		t.Fatal(err)
	}
	return b.full
}

func buildDebian(t *testing.T) (b built) {
	t.Helper()
	l := templateLab(t)
	begin := time.Now()
	r := l.Online("uml-template", "build", "debian", "debian:bookworm")
	if r.Code != 0 {
		return built{err: fmt.Errorf("exit %d: %s", r.Code, r.Err)}
	}
	t.Logf("made in %v", time.Since(begin).Round(time.Second))
	b.full = strings.TrimSpace(r.Out)
	at := filepath.Join(l.Dir, "templates", b.full)
	if b.manifest, b.err = os.ReadFile(at + ".json"); b.err == nil {
		b.image, b.err = os.Open(at + ".img") // which stays, without a name
	}
	return b
}

// Debian's own system has what a guest of somebody's needs, and an update makes a newer one
// beside it.
func TestTemplateDebian(t *testing.T) {
	t.Parallel()
	l := templateLab(t)
	full := debian(t, l)
	shown := l.Must("uml-template", "show", "debian")
	for _, want := range []string{"Debian GNU/Linux 12", "init         systemd", "network      ifupdown", "ssh          yes", "source       debian:bookworm"} {
		if !strings.Contains(shown, want) {
			t.Errorf("it lacks %q: %s", want, shown)
		}
	}
	l.Must("uml-template", "verify")
	for _, others := range []string{"/etc/hostname", "/etc/resolv.conf", "/etc/ssh/ssh_host_ed25519_key"} {
		if got := inImage(l, lab.Templates+"/"+full+".img", others); got != "" {
			t.Errorf("it has %s: %s", others, got)
		}
	}
	repository(t, l)
	image := lab.Templates + "/" + full + ".img"
	own := filepath.Join(l.Dir, "own.img")
	l.Must("sh", "-ec", "cp --sparse=always "+image+" "+own+"; chmod 644 "+own+`
		echo 'deb [trusted=yes] http://`+lab.OtherIP4+`:8080 ./' >list
		debugfs -w -R 'rm /etc/apt/sources.list.d/0000sources.list' `+own+` 2>/dev/null
		debugfs -w -R 'write list /etc/apt/sources.list.d/0000sources.list' `+own+` 2>/dev/null`)
	before := strings.TrimSpace(l.Must("uml-template", "build", "own", own))
	if r := l.Run("uml-template", "update", "own", "--ip4", lab.OtherIP4); r.Code != fault.MustMend || !strings.Contains(r.Err, lab.OtherIP4) {
		t.Errorf("with an address of another: %d, %s", r.Code, r.Err)
	}
	after := strings.TrimSpace(l.Must("uml-template", "update", "own", "--ip4", address, "--dns", lab.OtherIP4))
	if after == before || after == "" {
		t.Fatalf("it was %q, and is %q", before, after)
	}
	if got := l.Must("uml-template", "show", "own"); !strings.Contains(got, "update of    "+before) {
		t.Errorf("show: %s", got)
	}
	if got := l.Must("uml-template", "show", "--packages", "own"); !strings.Contains(got, "netbase 99\n") {
		t.Errorf("netbase was not brought up to date: %s", got)
	}
	image = lab.Templates + "/" + after + ".img"
	if got := l.Run("debugfs", "-R", "cat /policy", image).Out; got != "101\n" {
		t.Errorf("services were allowed to start: %q", got)
	}
	for _, gone := range []string{"/usr/sbin/policy-rc.d", "/etc/resolv.conf.uml-template", "/var/lib/apt/lists/lock", "/var/cache/apt/pkgcache.bin"} {
		if got := inImage(l, image, gone); got != "" {
			t.Errorf("%s is left: %s", gone, got)
		}
	}
	if got := l.Run("debugfs", "-R", "cat /etc/resolv.conf", image).Out; strings.Contains(got, lab.OtherIP4) {
		t.Errorf("resolv.conf is the guest's that did it: %q", got)
	}
	if r := l.Run("uml-template", "update", "own", "--ip4", address); r.Code != 0 || r.Out != "" || !strings.Contains(r.Err, "up to date") {
		t.Errorf("again: %d, %s%s", r.Code, r.Out, r.Err)
	}
	if got := strings.Count(l.Must("uml-template", "verify"), "sound"); got != 3 {
		t.Errorf("%d are sound", got)
	}
	l.Must("sh", "-c", "rm -r repo")
	if r := l.Run("uml-template", "update", "own", "--ip4", address); r.Code == 0 || !strings.Contains(r.Err, "apt-get update") {
		t.Errorf("without a mirror: %d, %s", r.Code, r.Err)
	}
	onlyPairs(t, l, 3)
}

// However a build by mmdebstrap is ended, nothing of it goes on, and nothing stays mounted.
func TestTemplateDebianEnded(t *testing.T) {
	t.Parallel()
	l := templateLab(t)
	// A mirror that takes requests and never answers.
	silent := l.Cmd(t.Context(), l.Dir, "ip", "netns", "exec", "other", "busybox", "nc", "-lk", "-p", "80", "-s", lab.OtherIP4, "-e", "sleep", "1000")
	if err := silent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Cancel(); silent.Wait() })
	for _, signal := range []string{"KILL", "INT", "TERM"} {
		cmd := l.Cmd(t.Context(), l.Dir, "uml-template", "build", "x", "debian:bookworm", "--mirror", "http://"+lab.OtherIP4)
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		apt := func() bool {
			return len(l.Processes(func(s lab.Status) bool { return s["Name"] == "apt-get" || s["Name"] == "http" })) > 0
		}
		l.Wait("apt-get", apt)
		l.Must("pkill", "-"+signal, "-x", "uml-template")
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: it was made", signal)
		}
		l.Wait("its end", func() bool { return !apt() && len(guests(l)) == 0 })
		if signal != "KILL" && !strings.Contains(said.String(), "ended by a signal") {
			t.Errorf("%s: %s", signal, said.String())
		}
		if m := l.Must("cat", "/proc/self/mountinfo"); strings.Contains(m, "mmdebstrap") {
			t.Errorf("%s: mounted: %s", signal, m)
		}
	}
	l.Must("uml-template", "gc")
	onlyPairs(t, l, 0)
}

// repository has a newer package, which asks whether it may start a service, on the other
// host.
func repository(t *testing.T, l *lab.Lab) {
	t.Helper()
	l.Must("sh", "-ec", `mkdir -p repo/p/DEBIAN
		cat >repo/p/DEBIAN/control <<-.
		Package: netbase
		Version: 99
		Architecture: all
		Maintainer: nobody <nobody@example.org>
		Description: newer
		.
		printf '#!/bin/sh\n/usr/sbin/policy-rc.d ssh start\necho $? >/policy\n' >repo/p/DEBIAN/postinst
		chmod 755 repo/p/DEBIAN/postinst
		cd repo
		dpkg-deb -b p netbase.deb >/dev/null
		{ cat p/DEBIAN/control; echo Filename: ./netbase.deb; echo Size: $(stat -c %s netbase.deb); echo SHA256: $(sha256sum netbase.deb | cut -d' ' -f1); } >Packages`)
	cmd := l.Cmd(t.Context(), l.Dir, "ip", "netns", "exec", "other", "busybox", "httpd", "-f", "-p", lab.OtherIP4+":8080", "-h", l.Dir+"/repo")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Cancel(); cmd.Wait() })
}
