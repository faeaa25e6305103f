package test

import (
	"bytes"
	"encoding/binary"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"uml/test/lab"
)

// A console whose terminal the kernel made itself, as one that it was given while it
// runs: it is the same to who views it, but that its shell goes with the last viewer.
func TestConsoleOfKernelsOwn(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	m.Activate()
	m.WaitUp(0)
	refusedBy(t, "uml-ctl", l.Run("uml-ctl", "console", "guest", "con2"), 100, `guest: con2 is "null", no terminal`)
	command(t, m, "config con2=pts")
	l.Wait("the guest's con2", func() bool { return ctl(t, l, "config", "guest", "con2") == "pts\n" })

	first := look(t, l, "uml-ctl", "--timeout", "2m", "console", "guest", "con2")
	first.sees("the guest has not opened con2 yet; waiting for it")
	const shell = "setsid sh -c 'exec sh -il </dev/tty2 >/dev/tty2 2>&1' &"
	m.Guest(shell)
	first.type_("\r")
	first.sees("# ")
	if got := ctl(t, l, "config", "guest", "con2"); !strings.HasPrefix(got, "pts:/dev/pts/") {
		t.Errorf("con2 is %q", got)
	}
	pid := first.asks("$$")
	second := look(t, l, "setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", "uml-ctl", "console", "guest", "con2")
	second.sees("joined")
	first.asks("for all")
	second.sees("<<42 for all\r")
	second.type_("seq 1 20000; echo e'n'd\r")
	first.sees("\r\n100\r\n")
	first.type_("~.")
	first.leaves(0)
	second.sees("\r\nend\r\n")
	if want := strings.ReplaceAll(l.Must("seq", "1", "20000"), "\n", "\r\n") + "end\r\n"; !strings.Contains(second.shown(), want) {
		t.Error("the numbers were not shown whole")
	}
	if got := second.asks("$$"); got != pid {
		t.Errorf("another shell: %q, not %q", got, pid)
	}
	second.type_("~.")
	second.leaves(0)
	l.Wait("the shell to be hung up", func() bool { return m.Guest("kill -0 "+pid+" 2>/dev/null || echo gone") == "gone\n" })

	m.Guest(shell)
	third := look(t, l, "uml-ctl", "--timeout", "2m", "console", "guest", "con2")
	third.type_("\r")
	third.sees("# ")
	third.type_("exit\r")
	third.sees("exit\r\n")
	l.Wait("the end of the console", func() bool {
		command(t, m, "config con2=null") // which is refused while the guest has it open
		return strings.Contains(third.shown(), "guest: the guest has closed its console")
	})
	third.leaves(0)
	if left := l.Must("sh", "-c", "ls -A "+m.Jail+"/uml"); left != "guest\n" {
		t.Errorf("left in uml: %q", left)
	}
}

// command sends the guest's kernel a command that uml-ctl has no word for
// (arch/um/include/shared/mconsole.h, struct mconsole_request). Its answer is not
// waited for.
func command(t *testing.T, m *lab.Machine, text string) {
	t.Helper()
	c, err := net.Dial("unixgram", filepath.Join(m.Jail, "uml", m.Name, "mconsole"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b bytes.Buffer
	for _, n := range []uint32{0xcafebabe, 2, uint32(len(text))} {
		binary.Write(&b, binary.NativeEndian, n)
	}
	b.WriteString(text)
	if _, err := c.Write(append(b.Bytes(), make([]byte, 512-len(text))...)); err != nil {
		t.Fatal(err)
	}
}
