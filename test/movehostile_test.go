package test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
	"uml/wire"
)

// A mover is a client of uml-machine serve that says what it likes.
type mover struct {
	t   *testing.T
	cmd *exec.Cmd
	c   *wire.Conn
	end func()
}

type said map[string]any

func newMover(t *testing.T, l *lab.Lab) *mover {
	t.Helper()
	cmd := l.Cmd(t.Context(), "/", "uml-machine", "serve")
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		t.Fatal("start uml-machine serve")
	}
	m := &mover{t: t, cmd: cmd, c: wire.New(out, in, time.Minute)}
	m.end = func() {
		m.c.Close()
		in.Close()
		cmd.Wait()
	}
	t.Cleanup(m.end)
	m.send('H', said{"protocol": 1, "version": "x", "host": "evil", "self": "x"})
	if kind, _, err := m.c.Read(); kind != 'H' || err != nil {
		t.Fatalf("hello: %q, %v", kind, err)
	}
	return m
}

func (m *mover) send(kind byte, v any) {
	m.t.Helper()
	if m.c.SendJSON(kind, v) != nil || m.c.Flush() != nil {
		m.t.Fatal("uml-machine serve has hung up")
	}
}

// ask is what is answered: the fault's text, "" for none.
func (m *mover) ask(do string, more said) (fault string) {
	m.t.Helper()
	q := said{"do": do, "errand": said{}}
	for k, v := range more {
		q[k] = v
	}
	m.send('Q', q)
	kind, payload, err := m.c.Read()
	var a struct{ Fault struct{ Text string } }
	if err != nil || kind != 'A' || json.Unmarshal(payload, &a) != nil {
		m.t.Fatalf("%s: %q %.100s, %v", do, kind, payload, err)
	}
	return a.Fault.Text
}

func (m *mover) refused(do string, more said, want string) {
	m.t.Helper()
	if got := m.ask(do, more); !strings.Contains(got, want) || got == "" {
		m.t.Errorf("%s: got %q, want %q", do, got, want)
	}
}

func (m *mover) granted(do string, more said) {
	m.t.Helper()
	if got := m.ask(do, more); got != "" {
		m.t.Fatalf("%s: %s", do, got)
	}
}

// moveID is a move's.
func moveID(n int) string { return fmt.Sprintf("%032x", n) }

// passport is that of a small machine, with one thing changed.
func passport(name string, n int, change func(p said)) said {
	p := said{
		"move": moveID(n), "from": "evil", "name": name, "account": name,
		"settings": said{"net": "none", "ubd0": "ubd0", "mem": "32M"},
		"files":    []said{{"name": "ubd0", "size": 8192, "mode": 0o600, "mtime": 1}, {"name": "linux", "size": 4096, "mode": 0o755, "mtime": 1}},
		"bases":    []said{},
	}
	if change != nil {
		change(p)
	}
	return said{"passport": p}
}

// all sends files that are zeros, and makes the machine whole.
func (m *mover) all() {
	m.t.Helper()
	m.granted("pass", nil)
	root := func(size uint64) string { // delta.Root of zeros
		return fmt.Sprintf("%x", sha256.Sum256(binary.BigEndian.AppendUint64(nil, size)))
	}
	m.granted("end", said{"roots": []said{{"file": 0, "sha256": root(8192)}, {"file": 1, "sha256": root(4096)}}})
	m.granted("ready", nil)
}

// Who has only the forced command makes machines of his own, and of what is the host's nothing else.
func TestMoveHostileClient(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.OwnEtc()
	l.Account("victim")
	m := newMover(t, l)
	for n, c := range []struct {
		change func(p said)
		want   string
	}{
		{func(p said) { p["account"] = "victim" }, `account "victim" is there already`},
		{func(p said) { p["account"] = "root" }, `account "root" is there already`},
		{func(p said) { p["name"] = "../x" }, "name"},
		{func(p said) { p["move"] = "../../x" }, "is no number of a move"},
		{func(p said) { p["settings"].(said)["ubd1"] = "/etc/passwd r" }, "/etc/passwd"},
		{func(p said) { p["settings"].(said)["kernel"] = "/bin/sh"; p["files"] = p["files"].([]said)[:1] }, "/bin/sh"},
		{func(p said) { p["settings"].(said)["initrd"] = "/etc/passwd" }, "/etc/passwd"},
		{func(p said) { p["files"] = append(p["files"].([]said), said{"name": "more", "size": 1}) }, "no setting names it"},
		{func(p said) { p["files"].([]said)[0]["name"] = "uml" }, "is no name of a file in a jail"},
		{func(p said) { p["files"].([]said)[0]["size"] = 1 << 60 }, "size"},
		{func(p said) { p["from"] = strings.Repeat("x", 100000) }, "too long"},
	} {
		m.refused("judge", passport("web", n, c.change), c.want)
	}
	for _, do := range []string{"take", "drop"} {
		for _, move := range []string{"", ".", "..", "../x"} {
			m.refused(do, said{"name": "web", "move": move}, "is no number of a move")
		}
	}
	// An offer that is said again may not change whose the machine is.
	m.granted("offer", passport("web", 1, nil))
	m.end()
	m = newMover(t, l)
	m.refused("offer", passport("web", 1, func(p said) { p["account"] = "victim" }), "victim")
	m.end()
	m = newMover(t, l)
	m.granted("offer", passport("web", 1, nil))
	m.all()
	m.granted("take", said{"name": "web", "move": moveID(1)})
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(l.Machines, "web/jail/ubd0"), &st); err != nil || st.Uid == 0 {
		t.Errorf("the machine: %v, uid %d", err, st.Uid)
	}
}

// A host that was cut off between its word that a guest is its own and the machine itself has only
// the word: gc keeps to it, since the other host may have thrown away what it had.
func TestMoveCollectTaken(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.OwnEtc()
	m := newMover(t, l)
	m.granted("offer", passport("web", 1, nil))
	m.all()
	m.end()
	// Whole as it is, nobody starts it by hand where it lies: it is the other host's.
	refusedBy(t, "uml-run", l.RunIn(filepath.Join(l.Machines, ".new/web"), "uml-run"), 100, "is no machine yet")
	l.Must("mkdir", "-p", filepath.Join(l.Machines, ".moves"))
	if err := os.WriteFile(filepath.Join(l.Machines, ".moves", moveID(1)), []byte("web\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Must("uml-machine", "gc", "--older", "0")
	if _, err := os.Stat(filepath.Join(l.Machines, "web/jail/ubd0")); err != nil {
		t.Error(err)
	}
	m = newMover(t, l)
	m.refused("drop", said{"name": "web", "move": moveID(1)}, "was taken there")
	m.granted("take", said{"name": "web", "move": moveID(1)})
	// One that nobody has taken goes.
	m.granted("offer", passport("other", 2, nil))
	m.all()
	m.end()
	l.Must("uml-machine", "gc", "--older", "0")
	m = newMover(t, l)
	m.refused("take", said{"name": "other", "move": moveID(2)}, "was given up")
	if _, err := os.Stat(filepath.Join(l.Machines, ".new/other")); err == nil {
		t.Error("gc left it")
	}
}

// What is in the way of a machine is said before it is taken, so that it can still be given up.
func TestMoveTakeInTheWay(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.OwnEtc()
	m := newMover(t, l)
	m.granted("offer", passport("web", 1, nil))
	m.all()
	l.Must("mkdir", filepath.Join(l.Machines, "web"))
	m.refused("take", said{"name": "web", "move": moveID(1)}, "is there already")
	m.granted("drop", said{"name": "web", "move": moveID(1)})
}

// What lay in the jail of one that was whole once is nobody's word: it is taken back before it is
// written to again. And files of which nothing is said any more go.
func TestMoveComesAgain(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.OwnEtc()
	precious := filepath.Join(l.Dir, "precious")
	if err := os.WriteFile(precious, []byte("root's"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMover(t, l)
	m.granted("offer", passport("web", 1, nil))
	m.all()
	m.end()
	jail := filepath.Join(l.Machines, ".new/web/jail")
	for _, err := range []error{
		os.Remove(jail + "/ubd0"), os.Link(precious, jail+"/ubd0"), os.Remove(jail + "/linux"), unix.Mkfifo(jail+"/linux", 0o666),
		os.Symlink(precious, jail+"/more"), os.WriteFile(jail+"/../base7", nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m = newMover(t, l)
	m.granted("offer", passport("web", 1, nil))
	m.all()
	// From ready on the jail is the account's: nothing is opened there again.
	if err := errors.Join(os.Rename(jail+"/ubd0", jail+"/../ubd0"), os.Link(precious, jail+"/ubd0")); err != nil {
		t.Fatal(err)
	}
	m.refused("ready", nil, "before a pass was compared")
	m.refused("pass", nil, "after ready")
	if err := os.Rename(jail+"/../ubd0", jail+"/ubd0"); err != nil {
		t.Fatal(err)
	}
	m.granted("take", said{"name": "web", "move": moveID(1), "activate": true})
	var st unix.Stat_t
	if err := unix.Stat(precious, &st); err != nil || st.Uid != 0 || st.Size != 6 || st.Mode&0o777 != 0o600 {
		t.Errorf("root's file: %v, %+v", err, st)
	}
	dir := filepath.Join(l.Machines, "web")
	for _, file := range []string{dir + "/jail/more", dir + "/base7"} {
		if _, err := os.Lstat(file); err == nil {
			t.Errorf("%s came along", file)
		}
	}
	// Who says take again does not start again what somebody has put down.
	link := filepath.Join(l.Service, "uml-web")
	if _, err := os.Lstat(link); err != nil {
		t.Error(err)
	}
	l.Must("uml-ctl", "deactivate", "web")
	m.granted("take", said{"name": "web", "move": moveID(1), "activate": true})
	if _, err := os.Lstat(link); err == nil {
		t.Error("it was activated again")
	}
}

// Who asks without end is hung up on: what was judged is kept, and memory is the host's.
func TestMoveAsksTooMuch(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.OwnEtc()
	m := newMover(t, l)
	for range 100 {
		if m.c.SendJSON('Q', said{"do": "judge", "x": strings.Repeat("x", 1<<20)}) != nil || m.c.Flush() != nil {
			return
		}
		if _, _, err := m.c.Read(); err != nil {
			return
		}
	}
	t.Error("it goes on and on")
}

// Who sends more than he has said fills no disc on which other guests are.
func TestMoveFillsDisc(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.OwnEtc()
	l.Must("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", l.Machines)
	m := newMover(t, l)
	m.granted("offer", passport("web", 1, func(p said) { p["files"].([]said)[0]["size"] = 1 << 30 }))
	m.granted("pass", nil)
	for n := range 80 {
		head := [10]byte{}
		binary.BigEndian.PutUint64(head[2:], uint64(n)<<20)
		if err := m.c.Send('D', head[:], []byte(strings.Repeat("x", 1<<20))); err != nil {
			t.Fatal(err)
		}
	}
	m.refused("end", nil, "MiB left")
	if left := strings.Fields(l.Must("df", "--output=avail", "-k", l.Machines)); len(left) < 2 || len(left[1]) < 4 {
		t.Errorf("%v KiB are left", left)
	}
	m.granted("drop", said{"name": "web", "move": moveID(1)})
}

// Two that come at once need RAM for both.
func TestMoveTwoAtOnce(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.OwnEtc()
	l.SetHost("overcommit", "1")
	var all unix.Sysinfo_t
	if err := unix.Sysinfo(&all); err != nil {
		t.Fatal(err)
	}
	most := func(p said) {
		p["settings"].(said)["mem"] = fmt.Sprintf("%dM", all.Totalram*uint64(all.Unit)*6/10>>20)
	}
	one, two := newMover(t, l), newMover(t, l)
	one.granted("offer", passport("one", 1, most))
	two.refused("judge", passport("two", 2, most), "would be promised")
	two.refused("offer", passport("two", 2, most), "would be promised")
	one.end() // what was interrupted may never come
	two.granted("offer", passport("two", 2, most))
}
