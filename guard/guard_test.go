package guard

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"uml/fault"
)

const inside = "GUARD_TEST_INSIDE"

// TestMain starts the tests again in a network namespace of their own.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tests in a namespace of their own (root?):", err)
		os.Exit(1)
	}
}

func guest(n byte) Guest {
	return Guest{
		TAP: fmt.Sprintf("tap_%d", n),
		MAC: net.HardwareAddr{0xfe, 0xfd, 192, 0, 2, n},
		IP4: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, n})},
		IP6: []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1")},
	}
}

// fresh runs f in a fresh network namespace.
func fresh(t *testing.T, f func(*Filter)) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err != nil {
			done <- err
			return
		}
		filter, err := Open()
		if err == nil {
			defer filter.Close()
			f(filter)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// Whatever is done to the table by others is seen and made good, and the guests stay
// known.
func TestAltered(t *testing.T) {
	t.Parallel()
	fresh(t, func(f *Filter) {
		must(t, f.Install())
		must(t, f.Admit(guest(1)))
		accept := []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
		for what, alter := range map[string]func(){
			"a rule before all":    func() { f.InsertRule(&nftables.Rule{Table: f.table, Chain: f.named("ip4"), Exprs: accept}) },
			"a rule is gone":       func() { must(t, f.DelRule(f.rule(t, "icmp6", 3))) },
			"a rule was replaced":  func() { r := f.rule(t, "refuse", 1); r.Exprs = accept; f.ReplaceRule(r) },
			"all rules of a chain": func() { f.FlushChain(f.named("arp")) },
			"the hook's rule":      func() { f.FlushChain(f.named(hook)) },
			"another policy":       func() { c := f.base(); drop := nftables.ChainPolicyDrop; c.Policy = &drop; f.AddChain(c) },
		} {
			alter()
			must(t, f.Flush())
			if why, err := f.Amiss(); why == "" || err != nil {
				t.Errorf("%s: not seen, %v", what, err)
			}
			must(t, f.Install())
			if why, err := f.Amiss(); why != "" || err != nil {
				t.Errorf("%s: not made good: %s %v", what, why, err)
			}
			if lacks, err := f.Lacks(guest(1)); len(lacks) > 0 || err != nil {
				t.Errorf("%s: the guest lost %q, %v", what, lacks, err)
			}
		}
	})
}

func (f *Filter) named(name string) *nftables.Chain {
	return &nftables.Chain{Table: f.table, Name: name}
}

func (f *Filter) rule(t *testing.T, in string, n int) *nftables.Rule {
	t.Helper()
	all, err := f.GetRules(f.table, f.named(in))
	must(t, err)
	return all[n]
}

// A set that something else has left under a name of ours is told, and nothing else
// is made.
func TestOtherSet(t *testing.T) {
	t.Parallel()
	fresh(t, func(f *Filter) {
		f.AddTable(f.table)
		must(t, f.AddSet(&nftables.Set{Table: f.table, Name: owns4, KeyType: nftables.TypeIPAddr}, nil))
		must(t, f.Flush())
		err := f.Install()
		if err == nil || !strings.Contains(err.Error(), "nft table bridge uml has a set or chain of another kind (try: nft delete table bridge uml") || fault.Code(err) != fault.MustMend {
			t.Errorf("got %v", err)
		}
		if all, err := f.GetSets(f.table); len(all) != 1 || err != nil {
			t.Errorf("%d sets, %v", len(all), err)
		}
	})
}

// An element that somebody adds or takes away is seen by who lists all, and by the
// guest's next start.
func TestElements(t *testing.T) {
	t.Parallel()
	fresh(t, func(f *Filter) {
		must(t, f.Install())
		must(t, f.Admit(guest(1)))
		must(t, f.Admit(guest(2)))
		see := func(what string, altered ...string) {
			t.Helper()
			all, is, err := f.Known()
			if err != nil || len(all) != 2 || !slices.Equal(is, altered) {
				t.Errorf("%s: knows %v, altered %q, %v", what, all, is, err)
			}
		}
		see("at first")
		must(t, f.SetAddElements(f.set(owns4), []nftables.SetElement{{Key: []byte(key("tap_1", []byte{10, 0, 0, 1}))}}))
		must(t, f.Flush())
		see("one more", "tap_1")
		must(t, f.Admit(guest(1)))
		see("admitted again")
		must(t, f.SetDeleteElements(f.set(owns4), []nftables.SetElement{{Key: []byte(key("tap_2", []byte{192, 0, 2, 2}))}}))
		must(t, f.Flush())
		see("one less", "tap_2")
		lacks, err := f.Lacks(guest(2))
		if want := `add element bridge uml ip4 { "tap_2" . 192.0.2.2 }`; err != nil || !slices.Equal(lacks, []string{want}) {
			t.Errorf("lacks %q, %v, want %q", lacks, err, want)
		}
		must(t, f.Admit(guest(2)))
		see("at last")
		must(t, f.Expel("tap_1"))
		must(t, f.Expel("tap_1"))
		if r, err := f.Record("tap_1"); r != nil || err != nil {
			t.Errorf("expelled: %v, %v", r, err)
		}
	})
}

// A guest may have as many addresses as settings can name.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	fresh(t, func(f *Filter) {
		must(t, f.Install())
		g := guest(1)
		for n := range 1 << 13 {
			g.IP4 = append(g.IP4, netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
		}
		for range 2 {
			must(t, f.Admit(g))
			if lacks, err := f.Lacks(g); len(lacks) > 0 || err != nil {
				t.Errorf("lacks %d lines, %v", len(lacks), err)
			}
			g.IP4 = g.IP4[:1<<12]
		}
		must(t, f.Admit(guest(1)))
		if known, altered, err := f.Known(); len(known) != 1 || len(altered) > 0 || err != nil {
			t.Errorf("knows %v, altered %q, %v", known, altered, err)
		}
	})
}

// A hundred starts at once on a host that has nothing yet all find their guest known,
// and the table whole.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	const many = 100
	fresh(t, func(f *Filter) {
		ns, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(ns)
		var all sync.WaitGroup
		for n := range byte(many) {
			all.Go(func() {
				runtime.LockOSThread()
				must(t, unix.Setns(ns, unix.CLONE_NEWNET))
				g := guest(n)
				own, err := Open()
				if err != nil {
					t.Error(err)
					return
				}
				defer own.Close()
				if why, err := own.Amiss(); why != "" || err != nil {
					must(t, err)
					must(t, own.Install())
				}
				must(t, own.Admit(g))
				if n%2 == 0 {
					must(t, own.Expel(g.TAP))
					must(t, own.Admit(g))
				}
			})
		}
		all.Wait()
		if why, err := f.Amiss(); why != "" || err != nil {
			t.Errorf("amiss: %s %v", why, err)
		}
		known, altered, err := f.Known()
		if len(known) != many || len(altered) > 0 || err != nil {
			t.Errorf("knows %d, altered %q, %v", len(known), altered, err)
		}
	})
}
