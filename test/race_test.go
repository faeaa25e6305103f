package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// batch is how many starts are surely over in a lab's patience.
const batch = 20

// How many starts the racing attacker is given, of a stub and of a real kernel:
// enough for each run of the suite to meet every change, or by UML_RACE ("10000
// 200", make race) as many as it takes to trust it.
func raceStarts(t *testing.T) (stubs, kernels int) {
	stubs, kernels = 120, 2
	if s := os.Getenv("UML_RACE"); s != "" {
		if _, err := fmt.Sscan(s, &stubs, &kernels); err != nil {
			t.Fatalf("UML_RACE=%q: %v", s, err)
		}
	}
	return stubs, kernels
}

// A racedMachine has a user who changes its jail without pause while it starts.
type racedMachine struct {
	*lab.Machine
	hostile string
}

func raced(t *testing.T, l *lab.Lab, hostile string, out *outside, name string, moves ...string) racedMachine {
	t.Helper()
	m := l.Machine(name, lab.Settings{"swap": "256K", "ubd1": "d/disc", "nofile": "256"})
	sh(t, l, fmt.Sprintf("cd %s; mkdir d uml; truncate -s 1M d/disc; chown -R %s d uml", m.Jail, name))
	attacker := l.Cmd(t.Context(), m.Jail, append([]string{"setpriv", "--reuid=" + name, "--regid=" + name, "--clear-groups", hostile, "race", out.dir}, moves...)...)
	attacker.Stderr = os.Stderr
	if err := attacker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { attacker.Cancel(); attacker.Wait() })
	l.Wait("the attacker", func() bool { _, err := os.Lstat(filepath.Join(m.Jail, "fifo")); return err == nil })
	return racedMachine{m, hostile}
}

// kernels are the processes of the machine's user, but the attacker.
func (m racedMachine) kernels(l *lab.Lab) []int {
	return l.Processes(func(s lab.Status) bool { return s.Int("Uid") == m.UID && s["Name"] != "hostile" })
}

// starts runs n starts one after the other. Their output is in two files, and how
// they ended is counted.
func (m racedMachine) starts(t *testing.T, l *lab.Lab, jail string, n int) (entered int, look, errs string) {
	t.Helper()
	sh(t, l, fmt.Sprintf(`cd %s; >out; >err; >codes
		for i in $(seq %d); do %s -- %s look >>out 2>>err && code=0 || code=$?; echo $code >>codes; done`, m.Dir, n, jail, m.hostile))
	for _, code := range strings.Fields(read(t, m.Dir+"/codes")) {
		switch code {
		case "0":
			entered++
		case "100", "111":
		default:
			t.Errorf("a start ended with %s", code)
		}
	}
	return entered, read(t, m.Dir+"/out"), read(t, m.Dir+"/err")
}

// Promise 4: nothing outside of the jail is changed or seen, no mount stays and
// no descriptor comes through, whatever the user does while starts go on.
func TestRace(t *testing.T) {
	t.Parallel()
	stubs, kernels := raceStarts(t)
	l := lab.New(t)
	hostile := buildHostile(t, l)
	out := makeOutside(t, l)
	m := raced(t, l, hostile, out, "guest")
	mounts := filepath.Join("/proc", strconv.Itoa(l.PID), "mountinfo")
	before := read(t, mounts)
	entered := 0
	for left := stubs; left > 0 && !t.Failed(); left -= batch {
		n, look, errs := m.starts(t, l, "uml-jail", min(left, batch))
		entered += n
		judgeLooks(t, out, look, n)
		judgeMessages(t, errs)
	}
	t.Logf("%d starts of a stub, %d came through", stubs, entered)
	if entered == 0 || entered == stubs {
		t.Errorf("no race: %d of %d starts came through", entered, stubs)
	}
	raceKernels(t, l, m, out, kernels)
	out.untouched(t)
	same(t, before, read(t, mounts))
	l.Wait("no process of a jail", func() bool { return len(m.kernels(l)) == 0 })
}

// judgeLooks: each report is whole, and of nothing outside. Lock, discs, swap,
// a terminal and the box are all that is inherited.
func judgeLooks(t *testing.T, out *outside, look string, n int) {
	t.Helper()
	if seen := out.seen(look); len(seen) > 0 {
		t.Errorf("seen inside: %q", seen)
	}
	whole := 0
	for line := range strings.Lines(look) {
		if line == "end\n" {
			whole++
		}
		if held, ok := strings.CutPrefix(line, "descriptors "); ok && held != "11\n" {
			t.Errorf("a start came through with %s descriptors, want 11", strings.TrimSpace(held))
		}
	}
	if whole != n {
		t.Errorf("%d reports of %d starts", whole, n)
	}
}

// judgeMessages: a start that is refused says so in lines of its own, and none of
// it is a crash.
func judgeMessages(t *testing.T, errs string) {
	t.Helper()
	for line := range strings.Lines(errs) {
		if !strings.HasPrefix(line, "uml-jail: ") {
			t.Errorf("a start said %q", line)
		}
	}
}

// raceKernels starts real kernels, until each has said its first words: from then
// on it is the kernel that runs.
func raceKernels(t *testing.T, l *lab.Lab, m racedMachine, out *outside, n int) {
	t.Helper()
	up, said := 0, ""
	for i := 0; up < n && i < 40*n && !t.Failed(); i++ {
		log, err := os.Create(filepath.Join(l.Dir, "raced.log"))
		if err != nil {
			t.Fatal(err)
		}
		start := l.Cmd(t.Context(), m.Dir, "uml-run")
		start.Stdout, start.Stderr = log, log
		if err := start.Start(); err != nil {
			t.Fatal(err)
		}
		log.Close()
		ended := make(chan error, 1)
		go func() { ended <- start.Wait() }()
		over, spoke := false, false
		l.Wait("a kernel or a refusal", func() bool {
			select {
			case <-ended:
				over = true
			default:
			}
			spoke = strings.Contains(read(t, log.Name()), "Core dump limits")
			return over || spoke
		})
		if spoke {
			up++
			judgeKernel(t, l, m, out)
		}
		// Again and again: a kernel makes children while it is looked at.
		l.Wait("the end of the kernel", func() bool {
			left := m.kernels(l)
			for _, pid := range left {
				l.Run("kill", "-9", strconv.Itoa(pid)) // some end meanwhile
			}
			return len(left) == 0
		})
		if !over {
			<-ended
		}
		said = read(t, log.Name())
	}
	t.Logf("%d kernels came up", up)
	if up < n {
		t.Errorf("only %d of %d kernels came up, the last said\n%s", up, n, said)
	}
}

// judgeKernel looks at what a running kernel has open and mounted.
func judgeKernel(t *testing.T, l *lab.Lab, m racedMachine, out *outside) {
	t.Helper()
	for _, pid := range l.Processes(func(s lab.Status) bool { return s.Int("Uid") == m.UID && s["Name"] == "linux" }) {
		for _, dir := range []string{"fd", "root", "root/uml"} {
			names, _ := os.ReadDir(l.Proc(pid, dir))
			for _, name := range names {
				var st unix.Stat_t
				stat := unix.Lstat // a link that the user made is his
				if dir == "fd" {
					stat = unix.Stat
				}
				if stat(l.Proc(pid, dir+"/"+name.Name()), &st) != nil {
					continue
				}
				if path := out.ids[fmt.Sprintf("%d:%d", st.Dev, st.Ino)]; path != "" {
					t.Errorf("a kernel has %s as its %s/%s", path, dir, name.Name())
				}
			}
		}
	}
}

// A weakness is what a change of the code might bring back. The attacker has to
// win against each, or TestRace would prove nothing.
type weakness struct {
	name, file string
	move       string   // of the attacker's, that it is open to
	edits      []string // old and new, each old once in the file
}

// moment lets the attacker in between, however busy the machine is.
const moment = "unix.Nanosleep(&unix.Timespec{Nsec: 5e6}, nil); "

var weaknesses = []weakness{
	{"links above a file are followed", "handle/handle.go", "exchange", []string{
		"unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS", "0"}},
	{"opened again by its name", "jail/jail.go", "exchange", []string{
		`tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)`,
		moment + "tree, err := unix.OpenTree(unix.AT_FDCWD, host, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)"}},
	{"made with root's rights", "runscript/own.go", "swap", []string{
		"fd, err := unix.Openat(in.Fd(), swapTemp,", moment + "fd, err := unix.Openat(in.Fd(), swapTemp,",
		"|unix.O_EXCL|unix.O_NOFOLLOW|", "|",
		"if st.Uid == 0 {\n\t\treturn do()", "if st.Uid != 1<<31 {\n\t\treturn do()"}},
}

func TestRaceIsLost(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	hostile := buildHostile(t, l)
	out := makeOutside(t, l)
	for n, w := range weaknesses {
		t.Run(w.name, func(t *testing.T) {
			weak := filepath.Join(l.Dir, fmt.Sprintf("weak%d", n))
			build(t, weak, "./cmd/uml-jail", "-overlay", w.overlay(t, l.Dir))
			m := raced(t, l, hostile, out, fmt.Sprintf("guest%d", n), w.move)
			out.remember(t)
			for range 1000 / batch {
				_, look, _ := m.starts(t, l, weak, batch)
				if seen := out.seen(look); len(seen) > 0 || out.state(t) != out.was {
					t.Logf("lost: seen %q", seen)
					return
				}
			}
			t.Error("1000 starts, and the attacker has not won once")
		})
	}
}

// overlay is for go build: a copy of the one file that is weaker.
func (w weakness) overlay(t *testing.T, dir string) string {
	t.Helper()
	real := abs(t, "../"+w.file)
	code := read(t, real)
	for e := range slices.Chunk(w.edits, 2) {
		if strings.Count(code, e[0]) != 1 {
			t.Fatalf("%s has changed: %q is not once in it", w.file, e[0])
		}
		code = strings.Replace(code, e[0], e[1], 1)
	}
	weak := filepath.Join(dir, filepath.Base(w.file))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {real: weak}})
	if err == nil {
		err = os.WriteFile(weak, []byte(code), 0o644)
	}
	if err == nil {
		err = os.WriteFile(weak+".json", list, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return weak + ".json"
}
