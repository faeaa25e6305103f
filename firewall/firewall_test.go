package firewall

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

var closed = &settings.Host{GuestPorts: []settings.Port{{Protocol: "udp", Number: 53}}}

// use makes one kind of iptables the first to be found.
func use(t *testing.T, kind string) {
	t.Helper()
	dir := t.TempDir()
	for _, p := range []string{"iptables", "ip6tables", "iptables-save", "ip6tables-save"} {
		binary := strings.Replace(p, "tables", "tables-"+kind, 1)
		if err := os.Symlink("/usr/sbin/"+binary, dir+"/"+p); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func (s *space) restore(h *settings.Host) {
	s.t.Helper()
	if err := s.do(func() error { return Restore(context.Background(), h) }); err != nil {
		s.t.Fatal("Restore: ", err)
	}
}

func (s *space) look(h *settings.Host) (all []State) {
	s.t.Helper()
	if err := s.do(func() (err error) { all, err = Look(h); return err }); err != nil {
		s.t.Fatal("Look: ", err)
	}
	return all
}

func (s *space) stand(h *settings.Host, want bool, when string) {
	s.t.Helper()
	for _, f := range s.look(h) {
		if f.Stands() != want {
			s.t.Errorf("%s: %s: stands is %v: %+v\n%s", when, f.Family, f.Stands(), f, s.rules())
		}
	}
}

// rules are all of both tables, without their counters.
func (s *space) rules() string {
	return s.sh("for p in iptables ip6tables; do $p-save -t raw | grep -v '^#' | sed 's/\\[.*//'; done")
}

// once fails unless there is one hook, one seal and no guard in each family.
func (s *space) once(when string) {
	s.t.Helper()
	all := s.rules()
	for text, want := range map[string]int{"-A PREROUTING -m devgroup --src-group 0x75 -j UML-GUESTS": 2, ":UML-SEAL-": 2, "GUARD": 0} {
		if got := strings.Count(all, text); got != want {
			s.t.Errorf("%s: %q is there %d times, want %d\n%s", when, text, got, want, all)
		}
	}
}

// The rules stand, are seen, and are left alone from then on; rules of others are
// left alone always.
func TestRestore(t *testing.T) {
	for kind, where := range map[string]string{"nft": inNFT, "legacy": inLegacy} {
		t.Run(kind, func(t *testing.T) {
			use(t, kind)
			s := newSpace(t)
			s.sh(`for p in iptables ip6tables; do
				$p -t raw -N ADMIN; $p -t raw -A ADMIN -p udp --dport 9 -j DROP; $p -t raw -A PREROUTING -j ADMIN; $p -t raw -A OUTPUT -p tcp -j ACCEPT
			done`)
			others := s.rules()
			s.stand(closed, false, "at first")
			s.restore(closed)
			for _, f := range s.look(closed) {
				if f.Where != where || f.Also != "" || f.Before != 0 || !f.Counts {
					t.Errorf("got %+v", f)
				}
			}
			s.once("made")
			made := s.rules()
			s.restore(closed)
			if again := s.rules(); again != made {
				t.Errorf("a second run made\n%s of\n%s", again, made)
			}
			var left []string
			for l := range strings.Lines(made) {
				if !strings.Contains(l, "UML-") {
					left = append(left, l)
				}
			}
			if strings.Join(left, "") != others {
				t.Errorf("rules of others were\n%sand are\n%s", others, strings.Join(left, ""))
			}
			s.sh("for p in iptables ip6tables; do $p -t raw -I PREROUTING -p udp -j ACCEPT; done")
			for _, f := range s.look(closed) {
				if !f.Stands() || f.Before != 1 {
					t.Errorf("behind another's rule: %+v", f)
				}
			}
		})
	}
}

// Whatever is changed is seen, and made as it should be.
func TestAltered(t *testing.T) {
	changes := []struct{ name, script string }{
		{"flushed", "$p -t raw -F"},
		{"flushed and removed", "$p -t raw -F; $p -t raw -X"},
		{"a rule changed", "$p -t raw -R UML-GUESTS 1 -m rpfilter --loose --invert -j UML-FORGED"},
		{"a rule added", "$p -t raw -I UML-FORGED -j ACCEPT"},
		{"a rule removed", "$p -t raw -D UML-GUESTS 1"},
		{"rules in another order", "$p -t raw -D UML-GUESTS -m rpfilter --invert -j UML-FORGED; $p -t raw -A UML-GUESTS -m rpfilter --invert -j UML-FORGED"},
		{"no hook", "$p -t raw -D PREROUTING -m devgroup --src-group 117 -j UML-GUESTS"},
		{"two hooks", "$p -t raw -A PREROUTING -m devgroup --src-group 117 -j UML-GUESTS"},
		{"a run that was killed", "$p -t raw -N UML-GUARD; $p -t raw -A UML-GUARD -j DROP; $p -t raw -I PREROUTING -m devgroup --src-group 117 -j UML-GUARD; $p -t raw -F UML-GUESTS"},
	}
	for _, kind := range []string{"nft", "legacy"} {
		t.Run(kind, func(t *testing.T) {
			use(t, kind)
			s := newSpace(t)
			open := &settings.Host{GuestToHost: true}
			s.restore(open)
			s.restore(closed)
			s.stand(closed, true, "another setting")
			s.stand(open, false, "the old setting")
			for _, c := range changes[:map[string]int{"nft": len(changes), "legacy": 4}[kind]] {
				s.sh("for p in iptables ip6tables; do " + c.script + "; done")
				s.stand(closed, false, c.name)
				s.restore(closed)
				s.stand(closed, true, c.name+", mended")
				s.once(c.name)
			}
		})
	}
}

// Once guests are cut off, Restore does all it can to end that, and says so where it
// cannot.
func TestHalfMade(t *testing.T) {
	use(t, "nft")
	s := newSpace(t)
	s.restore(&settings.Host{GuestToHost: true})
	dir := t.TempDir()
	for _, p := range []string{"iptables", "ip6tables"} { // fails as often as there are files
		script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *'-A UML-GUESTS'*) for f in %s/fail-*; do rm $f 2>/dev/null && echo busy >&2 && exit 4; done; esac\nexec /usr/sbin/%s-nft \"$@\"\n", dir, p)
		if err := os.WriteFile(dir+"/"+p, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	s.sh("touch " + dir + "/fail-1 " + dir + "/fail-2")
	s.restore(closed)
	s.once("failed twice")
	s.restore(&settings.Host{GuestToHost: true})
	s.sh("cd " + dir + "; for i in $(seq 100); do touch fail-$i; done")
	err := s.do(func() error { return Restore(context.Background(), closed) })
	for _, f := range []string{"IPv4", "IPv6"} {
		if err == nil || strings.Count(err.Error(), "all "+f+" that guests send is dropped until they stand (try: uml-net restore)") != 1 {
			t.Errorf("of what it could not make Restore says: %v", err)
		}
	}
	s.stand(closed, false, "failed for good")
	s.sh("rm " + dir + "/fail-*")
	s.restore(closed)
	s.once("at last")
}

// Rules in a table that sleeps are none, and it is not woken: it may be others' too.
func TestDormant(t *testing.T) {
	use(t, "nft")
	s := newSpace(t)
	s.restore(closed)
	s.sh("for f in ip ip6; do nft add table $f raw '{ flags dormant; }'; done")
	s.stand(closed, false, "dormant")
	err := s.do(func() error { return Restore(context.Background(), closed) })
	if fault.Code(err) != fault.MustMend || !strings.Contains(err.Error(), "nft add table ip raw;") || !strings.Contains(err.Error(), "nft add table ip6 raw;") {
		t.Errorf("of a dormant table Restore says: %v", err)
	}
	s.sh("for f in ip ip6; do nft add table $f raw; done")
	s.restore(closed)
	s.stand(closed, true, "awake")
	s.once("awake")
}

// Many at once, as when a host boots, make the rules once.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			if err := s.do(func() error { return Restore(context.Background(), closed) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s.once("thirty at once")
}

// Rules of both kinds of iptables: those that stand are enough, and the rest is
// told. A set that is not ours costs the counts, not the drop.
func TestMixed(t *testing.T) {
	s := newSpace(t)
	use(t, "legacy")
	s.sh("ipset create uml-forged4 hash:ip")
	s.restore(closed)
	use(t, "nft")
	s.restore(closed)
	if got := s.sh("iptables-nft-save -t raw 2>/dev/null"); strings.Contains(got, "UML-") {
		t.Errorf("rules were made beside those that stand:\n%s", got)
	}
	s.sh("for p in iptables ip6tables; do $p -t raw -N UML-GUESTS; $p -t raw -A UML-GUESTS -j RETURN; done")
	for i, f := range s.look(closed) {
		if f.Where != inLegacy || f.Also != inNFT || f.Counts != (i == 1) {
			t.Errorf("got %+v", f)
		}
	}
	s = newSpace(t)
	s.restore(closed)
	s.sh("for p in iptables ip6tables; do $p -t raw -I UML-FORGED -j ACCEPT; $p -t raw -N UML-GUARD; $p -t raw -I PREROUTING -m devgroup --src-group 117 -j UML-GUARD; done")
	use(t, "legacy")
	s.restore(closed)
	for _, f := range s.look(closed) {
		if f.Where != inLegacy || f.Also != inNFT {
			t.Errorf("beside altered rules of the other kind: %+v", f)
		}
	}
	s.once("beside altered rules of the other kind")
}

// A host without iptables says which package it lacks, and nothing where the rules
// stand.
func TestNoProgram(t *testing.T) {
	s := newSpace(t)
	hide := func() {
		if err := unix.Mount("/dev/null", "/usr/sbin/iptables", "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	hide()
	err := s.do(func() error { return Restore(context.Background(), closed) })
	if err := unix.Unmount("/usr/sbin/iptables", 0); err != nil {
		t.Fatal(err)
	}
	if fault.Code(err) != fault.MustMend || !strings.Contains(err.Error(), "apt install iptables") {
		t.Errorf("got %v (%d)", err, fault.Code(err))
	}
	s.restore(closed)
	hide()
	defer unix.Unmount("/usr/sbin/iptables", 0)
	s.restore(closed)
}

// Table raw of iptables-legacy as the kernel may hand it out, or not.
func FuzzLegacy(f *testing.F) {
	f.Add(true, make([]byte, 400))
	f.Fuzz(func(t *testing.T, v4 bool, blob []byte) {
		l := layouts[four]
		if !v4 {
			l = layouts[six]
		}
		for _, r := range func() []rule { all, _ := parseLegacy(l, info{}, blob); return all }() {
			if len(r.body) > len(blob)+64 {
				t.Errorf("%q is longer than all there is", r.body)
			}
		}
	})
}
