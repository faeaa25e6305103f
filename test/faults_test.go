package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/inject"
	"uml/test/lab"
)

// A start may fail at any line. Each system call that it makes fails once, and it
// is killed at each: what is left is judged, and the next start must become the
// kernel.
func TestFaults(t *testing.T) {
	t.Parallel()
	var parts []func()
	for name, prepare := range map[string]func(*victim){
		"first": (*victim).reset,    // nothing is there but the machine
		"again": (*victim).leftover, // all that a killed kernel can leave, its strays included
	} {
		parts = append(parts, func() {
			t.Run(name, func(t *testing.T) {
				v := newVictim(t)
				v.prepare = prepare
				prepare(v)
				r, said, whole := v.start(t, failure{})
				if !r.Became {
					t.Fatalf("an undisturbed start: %v, said %s", r.Status, said)
				}
				v.whole = whole
				each(t, r.Points, func(f failure) string { return v.try(t, f) })
				v.boots()
			})
		})
	}
	together(parts)
}

// A start beside a guest that runs may fail as well: the guest does not notice.
func TestFaultsBesideTheGuest(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.boots()
	pid := kernel(t, v.l, v.m)
	claims := v.net.claims()
	r, _, _ := v.start(t, failure{})
	held := fmt.Sprintf("lock: held by process %d, ", pid)
	each(t, r.Points, func(f failure) string {
		r, said, _ := v.start(t, f)
		how := outcome(r, f)
		switch {
		case r.Became, r.Hung, how == "failed", how == "crashed" && !ofRuntime(f.point),
			how == "refused" && !strings.Contains(said, held) && !strings.Contains(said, f.errno.Error()) && !v.unsaid(f):
			t.Errorf("%v: %v, said %s", f, r.Status, said)
		}
		if now := v.net.claims(); !slices.Equal(now, claims) {
			t.Errorf("%v: claims are %v, were %v", f, now, claims)
		}
		if v.l.Status(pid)["Name"] != "linux" {
			t.Fatalf("%v: the guest is gone", f)
		}
		return how
	})
	v.m.Guest("true")
	if got := kernel(t, v.l, v.m); got != pid {
		t.Errorf("the guest is process %d, was %d", got, pid)
	}
}

// From the moment on at which a start is the guest's user, he can stop it for good: what
// fails then takes no lock any more, of the ledger or of the queue, for which all other
// starts of the host would wait.
func TestFailsAsUser(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.reset()
	r, err := v.host.Run(inject.Plan{
		Dir: v.m.Dir, Output: filepath.Join(v.l.Dir, "said"), Args: []string{filepath.Join(v.l.Bin, "uml-run")},
		Point: "execve /linux #1", Errno: unix.EIO, List: true, Timeout: lab.Patience,
	})
	at := slices.Index(r.Points, "setresuid #1")
	if err != nil || !r.Met || code(r) != 111 || at < 0 {
		t.Fatalf("%v, %v at %q", err, r.Status, r.Points)
	}
	locks := func(point string) bool { return strings.HasPrefix(point, "flock ") }
	if before := slices.IndexFunc(r.Points[:at], locks); before < 0 {
		t.Error("it locked nothing before")
	}
	if after := slices.IndexFunc(r.Points[at:], locks); after >= 0 {
		t.Errorf("as the user: %s", r.Points[at+after])
	}
	v.boots()
}

// each tries the faults of the points: the suite a small part, make faults all.
// FAULTS=SEED tries another part.
func each(t *testing.T, points []string, try func(failure) string) {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("FAULTS"), 10, 64)
	if err != nil {
		seed = 1
	}
	tries := failures(points)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(tries), func(i, k int) { tries[i], tries[k] = tries[k], tries[i] })
	t.Logf("%d calls, %d faults, FAULTS=%d", len(points), len(tries), seed)
	if os.Getenv("FAULTS") != "all" {
		tries = tries[:min(30, len(tries))]
	}
	tried := map[string]int{}
	for i, f := range tries {
		tried[try(f)]++
		if i%100 == 99 {
			t.Logf("%d tried", i+1)
		}
	}
	t.Logf("so they ended: %v", tried)
}

// A failure is one point of a start, and what happens to it there.
type failure struct {
	point string
	errno unix.Errno // 0: the start is killed
}

func (f failure) String() string {
	if f.errno == 0 {
		return "killed at " + f.point
	}
	return fmt.Sprintf("%s says %s", f.point, unix.ErrnoName(f.errno))
}

// A victim is a machine whose starts are made to fail.
type victim struct {
	l       *lab.Lab
	m       *lab.Machine
	net     *hostNet
	host    *inject.Host
	prepare func(*victim)
	whole   string // what an undisturbed start becomes
	count   int
}

func newVictim(t *testing.T) *victim {
	l := lab.New(t)
	t.Helper()
	l.SetHost("ping-timeout", "10")
	l.SetHost("pace", "1")
	l.Must("uml-net", "restore") // each iptables that a start runs would be taken for the kernel
	m := l.Machine("guest", lab.Settings{"ip4": address + "\n192.0.2.21", "ip6": "2001:db8:1::/64", "swap": "64K"})
	cmd := l.Cmd(context.Background(), m.Dir, inject.Command()...)
	cmd.Stderr = os.Stderr
	host, err := inject.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	return &victim{l: l, m: m, net: openNet(t, l), host: host}
}

func failures(points []string) (all []failure) {
	for i, p := range points {
		all = append(all, failure{p, 0})
		if errnos := inject.Errnos(p); len(errnos) > 0 {
			all = append(all, failure{p, errnos[i%len(errnos)]})
		}
	}
	return all
}

// reset takes away all that starts have made.
func (v *victim) reset() {
	v.net.reset(v.l)
	for _, name := range []string{"lock", "jail/swap", "jail/.swap.new", "jail/uml"} {
		if err := os.RemoveAll(filepath.Join(v.m.Dir, name)); err != nil {
			panic(err)
		}
	}
}

// leftover is what a killed kernel leaves, and a setting that has changed since.
func (v *victim) leftover() {
	if len(v.net.claims()) == 0 {
		v.l.Must("uml-net", "up", v.m.Dir)
	}
	if len(v.strays()) > 0 {
		return
	}
	v.l.Must("setsid", "sh", "-ec", fmt.Sprintf(`
		cd %[1]s
		install -m 600 /dev/null lock
		rm -rf jail/uml jail/swap
		mkdir -p jail/uml/guest
		touch jail/uml/guest/pid jail/uml/guest/mconsole
		truncate -s 128K jail/swap
		chown -R %[2]d:%[2]d jail/swap jail/uml
		exec >/dev/null 2>&1
		setsid -f flock lock sh -c 'setpriv --reuid=%[2]d --regid=%[2]d --clear-groups sleep 1000 & kill -9 $PPID' `,
		v.m.Dir, v.m.UID))
	v.l.Wait("the stray", func() bool { return len(v.strays()) == 1 })
}

func (v *victim) strays() []int {
	return v.l.Processes(func(s lab.Status) bool { return s.Int("Uid") == v.m.UID && s["Name"] == "sleep" })
}

// start starts the machine, and returns what it said and what it became.
func (v *victim) start(t *testing.T, f failure) (r inject.Result, said, became string) {
	t.Helper()
	said = filepath.Join(v.l.Dir, "said")
	r, err := v.host.Run(inject.Plan{
		Dir: v.m.Dir, Output: said, Args: []string{filepath.Join(v.l.Bin, "uml-run")},
		Point: f.point, Errno: f.errno, List: f.point == "", Timeout: lab.Patience,
		Exec: func(pid int) { became = portrait(v.l, pid) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, read(t, said), became
}

// try is one failure and the start after it.
func (v *victim) try(t *testing.T, f failure) (how string) {
	t.Helper()
	v.prepare(v)
	before := v.left()
	r, said, became := v.start(t, f)
	if r.Hung {
		t.Errorf("%v: it hangs, said %s", f, said)
	}
	switch how = outcome(r, f); {
	case how == "never came":
		return how
	case how == "went on":
		if became != v.whole {
			t.Errorf("%v: it became another:\n%s", f, difference(v.whole, became))
		}
	case how == "refused":
		if !strings.Contains("\n"+said, "\numl-run: fatal: ") || code(r) == 111 && f.errno != 0 && !strings.Contains(said, f.errno.Error()) && !ofRuntime(f.point) {
			t.Errorf("%v: it said %q", f, said)
		}
		v.judge(t, f, before, false)
	case how == "killed", how == "crashed" && ofRuntime(f.point):
		v.judge(t, f, before, true)
	default:
		t.Errorf("%v: %v, said %s", f, r.Status, said)
	}
	if v.count++; how != "killed" && v.count%8 > 0 {
		return how // the next try is the next start
	}
	r, said, became = v.start(t, failure{})
	if !r.Became || became != v.whole {
		t.Errorf("%v: then the next start: %v, said %s\n%s", f, r.Status, said, difference(v.whole, became))
	}
	return how
}

// outcome is in a word how a start ended.
func outcome(r inject.Result, f failure) string {
	switch {
	case !r.Met:
		return "never came"
	case r.Became:
		return "went on"
	case code(r) == 128+int(unix.SIGKILL):
		return "killed"
	case code(r) == 111 || code(r) == 100 && f.errno == unix.EPERM:
		return "refused" // what is not permitted does not pass by itself
	case code(r) == 2:
		return "crashed"
	}
	return "failed"
}

func code(r inject.Result) int {
	if r.Status.Signaled() {
		return 128 + int(r.Status.Signal())
	}
	return r.Status.ExitStatus()
}

// ofRuntime: what the Go runtime cannot do without ends the program.
func ofRuntime(point string) bool {
	name, _, _ := strings.Cut(point, " ")
	return slices.Contains([]string{"mmap", "munmap", "clone", "clone3", "epoll_create", "epoll_ctl", "eventfd"}, name)
}

// unsaid: what failed is the writing of what the start said.
func (v *victim) unsaid(f failure) bool {
	return strings.HasPrefix(f.point, "write "+filepath.Join(v.l.Dir, "said"))
}

// boots sees that after all that a real guest is up.
func (v *victim) boots() {
	v.reset()
	v.m.Activate()
	v.m.WaitUp(0)
	v.m.Guest("true")
}
