package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"uml/test/lab"
	"uml/test/watch"
)

// A siege is one machine under two supervises, both of which want it up.
type siege struct {
	t      *testing.T
	l      *lab.Lab
	m      *lab.Machine
	both   []*lab.Machine // the machine as either supervise has it
	random *rand.Rand
	watch  *watch.Watch
	did    map[string]int
	said   string // by starts by hand
}

// writer keeps the guest's disc busy, so that a second one would spoil it, and the
// guest's processor as little as it can: what a shell does itself needs no fork.
const writer = `#!/bin/sh
text=0123456789abcdef
while [ ${#text} -lt 8192 ]; do text=$text$text; done
while :; do
	for d in 1 2 3 4 5; do
		mkdir /root/$d
		for f in 1 2 3 4 5 6 7 8; do echo $text$text >/root/$d/$f; done
		sync
		sleep 1
		rm -r /root/$((d % 5 + 1))
	done
done 2>/dev/null
`

func besiege(t *testing.T, seed uint64) *siege {
	t.Helper()
	l := lab.New(t)
	l.SetHost("ping-timeout", "10")
	m := l.Machine("guest", lab.Settings{"ip4": address, "swap": "8M"})
	disc, local := filepath.Join(m.Jail, "ubd0"), filepath.Join(l.Dir, "local")
	if err := os.WriteFile(local, []byte(writer), 0o755); err != nil {
		t.Fatal(err)
	}
	l.Must("debugfs", "-w", "-R", "write "+local+" etc/local", disc)

	// The other supervise has another name for the machine's directory.
	const alias = "/run/machines"
	rival := *m
	rival.Name, rival.Dir = "rival", filepath.Join(l.Dir, "rival")
	l.Must("sh", "-ec", fmt.Sprintf(`
		ln -s %[2]s %[1]s
		mkdir %[3]s
		printf '#!/bin/sh\nexec uml-run %[1]s/guest\n' >%[3]s/run
		chmod 755 %[3]s/run`, alias, l.Machines, rival.Dir))

	s := &siege{
		t: t, l: l, m: m, both: []*lab.Machine{m, &rival},
		random: rand.New(rand.NewPCG(seed, 1)), watch: watch.Disc(t, l, disc), did: map[string]int{},
	}
	for _, m := range s.both {
		m.Activate()
	}
	return s
}

// round ends what runs in one way, at some moment after both supervises were told
// to start it.
func (s *siege) round(i int, end string) {
	s.t.Helper()
	s.did["rounds: "+end]++
	one := s.both[s.random.IntN(2)]
	switch end {
	case "TERM", "KILL":
		s.hit(one, "kill -"+end+" $pid")
	case "svc -t", "svc -k", "svc -d":
		s.hit(one, end+" "+s.service(one))
	case "by hand":
		s.byHand()
	case "reboots":
		s.within("reboot -f")
	case "halts":
		s.within("halt -f")
	case "panics":
		s.within("echo c >/proc/sysrq-trigger")
	case "in order":
		s.inOrder()
	case "crash":
		s.crash()
	}
	if wrong := s.watch.Wrong(); wrong != "" {
		s.t.Fatalf("round %d, %s: %s\n%s\n%s", i, end, wrong, s.both[0].Log(), s.both[1].Log())
	}
}

func (s *siege) service(m *lab.Machine) string { return filepath.Join(s.l.Service, "uml-"+m.Name) }

// services are both, in either order.
func (s *siege) services() string {
	i := s.random.IntN(2)
	return s.service(s.both[i]) + " " + s.service(s.both[1-i])
}

// moment is some time into a start, in seconds: half of them while it is ours and
// in the kernel's first lines.
func (s *siege) moment() string {
	d := 0.2 * s.random.Float64()
	if s.random.IntN(2) == 0 {
		d *= 20
	}
	return fmt.Sprintf("%.3f", d)
}

// hit has a shell on the host do something to the process that one of the two
// supervises watches.
func (s *siege) hit(m *lab.Machine, what string) {
	s.t.Helper()
	out := s.l.Must("sh", "-c", fmt.Sprintf(`
		svc -u %s
		sleep %s
		pid=$(svstat %s | sed -n 's/.*(pid \([0-9]*\)).*/\1/p')
		[ "$pid" ] || exit 0
		%s
		echo $pid`, s.services(), s.moment(), s.service(m), what))
	if pid, err := strconv.Atoi(strings.TrimSpace(out)); err == nil {
		s.gone(pid)
	}
}

// gone waits until a process that was told to end has ended. Debian's kernel, told
// to stop in its first milliseconds, sometimes neither boots nor ends, and uses no
// CPU: it takes svc -k then.
func (s *siege) gone(pid int) {
	s.t.Helper()
	for end := time.Now().Add(lab.Patience); s.exe(pid) != ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.did["kernels that hung, told to stop"]++
			s.l.Kill(pid, syscall.SIGKILL)
			s.l.Wait("the end of a killed kernel", func() bool { return s.exe(pid) == "" })
		}
	}
}

// exe is the program that a process runs; none if it has ended.
func (s *siege) exe(pid int) string {
	name, err := os.Readlink(s.l.Proc(pid, "exe"))
	if err != nil {
		return ""
	}
	return filepath.Base(name)
}

// byHand is five starts at once beside the two supervises, each of which has some
// time to become the guest.
func (s *siege) byHand() {
	s.t.Helper()
	r := s.l.Run("sh", "-c", fmt.Sprintf(`
		svc -u %s
		for i in 1 2 3 4 5; do timeout -k %.0f %s uml-run %s </dev/null >/dev/null & done
		wait`, s.services(), lab.Patience.Seconds(), s.moment(), s.m.Dir))
	s.said += r.Err
}

// up waits until the guest answers, and says under which supervise it runs.
func (s *siege) up() (m *lab.Machine, pid int) {
	s.t.Helper()
	s.l.Must("sh", "-c", "svc -u "+s.services())
	s.l.Wait("the guest", func() bool {
		for _, m = range s.both {
			if pid = m.PID(); s.exe(pid) == "linux" && s.l.Ping(s.m.IP4) {
				return true
			}
		}
		return false
	})
	return m, pid
}

// within has the guest end itself.
func (s *siege) within(line string) {
	s.t.Helper()
	_, pid := s.up()
	s.m.Tell(line)
	s.l.Wait(line+" to end the guest", func() bool { return s.exe(pid) == "" })
}

// down waits until neither supervise has a process.
func (s *siege) down() {
	s.t.Helper()
	for _, m := range s.both {
		m.WaitDown()
	}
}

// inOrder halts the guest in order: its disc is whole then, with nothing to replay.
func (s *siege) inOrder() {
	s.t.Helper()
	m, _ := s.up()
	for _, other := range s.both {
		if other != m {
			other.Svc("-d")
			other.WaitDown()
		}
	}
	m.Svc("-o")
	s.m.Tell("killall local; halt")
	s.down()
	s.check("-fn", 0, s.m.Jail+"/ubd0")
}

// crash kills the guest at some moment. Its strays are ended by the next start,
// and its disc is whole when its journal is replayed.
func (s *siege) crash() {
	s.t.Helper()
	s.l.Must("sh", "-c", fmt.Sprintf("svc -u %s; sleep %s; svc -dk %s", s.services(), s.moment(), s.services()))
	s.down()
	r := s.m.Run("uml-jail", "--", "/bin/busybox", "true")
	if r.Code != 0 {
		s.t.Fatalf("uml-jail after a crash: exit %d, said %s", r.Code, r.Err)
	}
	s.said += r.Err
	replayed := filepath.Join(s.l.Dir, "replayed")
	s.l.Must("cp", s.m.Jail+"/ubd0", replayed)
	s.check("-fp", 1, replayed)
	s.check("-fn", 0, replayed)
}

// check has e2fsck find no fault.
func (s *siege) check(option string, code int, disc string) {
	s.t.Helper()
	s.did["e2fsck "+option]++
	r := s.l.Run("e2fsck", option, disc)
	if r.Code > code || strings.Contains(r.Out+r.Err, "skipping journal recovery") {
		s.t.Fatalf("e2fsck %s: exit %d\n%s%s", option, r.Code, r.Out, r.Err)
	}
}

// expected is all that a start may say here: each refusal names a process, and
// nothing but a signal or the guest that runs is a reason to fail.
var expected = regexp.MustCompile(`^uml-(run|jail): ` +
	`(fatal: .*lock: held by process N, the guest runs or is being started` +
	`|fatal: told to stop \(terminated\)` +
	`|ended stray process(es)? N[N, ]* left by a killed guest kernel)$`)

var saidByUs = regexp.MustCompile(`^uml-(run|jail): `)

var digits = regexp.MustCompile(`[0-9]+`)

// total is what was done, seen and said.
func (s *siege) total() map[string]int {
	s.t.Helper()
	said := s.said
	for _, m := range s.both {
		said += m.Log()
	}
	for line := range strings.Lines(said) {
		if !saidByUs.MatchString(line) {
			continue
		}
		line = digits.ReplaceAllString(strings.TrimSpace(line), "N")
		s.did[line]++
		if !expected.MatchString(line) {
			s.t.Errorf("a start said: %s", line)
		}
	}
	for program, n := range s.watch.Opens() {
		s.did["openings by "+program] += n
	}
	return s.did
}
