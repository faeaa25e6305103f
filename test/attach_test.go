package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// A disc, a COW pair and the network come and go while the guest runs, and what is
// checked at a start is checked then.
func TestAttach(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "mem": "96M"})
	const backing = "/run/backing" // what lies in /tmp cannot be in the jail
	l.Must("sh", "-ec", fmt.Sprintf(`umask 022; cd %s
		printf 'first\n' >data; truncate -s 1M data; chown guest: data
		printf 'base\n' >%s; truncate -s 1M %[2]s; uml_mkcow cow %[2]s; chown guest: cow; ln -s /etc/shadow link; mkfifo fifo; chown -h guest: fifo link`, m.Jail, backing))
	attach := func(args ...string) lab.Result {
		t.Helper()
		return l.Run(append([]string{"uml-ctl", "--timeout", "2m"}, args...)...)
	}
	must := func(args ...string) string {
		t.Helper()
		return l.Must(append([]string{"uml-ctl", "--timeout", "2m"}, args...)...)
	}
	refusedBy(t, "uml-ctl", attach("attach", "guest", "ubd3", "data"), 111, "the guest is down")
	m.Activate()
	m.WaitUp(0)
	read := func(disc string) string { return strings.TrimSpace(m.Guest("head -n1 /dev/" + disc)) }

	if r := attach("detach", "guest", "ubd3"); r.Code != 0 || r.Err != "uml-ctl: ubd3: the guest has none\n" {
		t.Errorf("detach what is not there: exit %d, %q", r.Code, r.Err)
	}
	must("attach", "guest", "ubd3", "data")
	equal(t, read("ubdd"), "first")
	equal(t, must("config", "guest", "ubd3"), "/annex/ubd3\n")
	m.Guest("printf 'second\\n' | dd of=/dev/ubdd bs=512 conv=sync 2>/dev/null; sync")
	if got, _ := os.ReadFile(filepath.Join(m.Jail, "data")); !strings.HasPrefix(string(got), "second\n") {
		t.Errorf("written by the guest: %.20q", got)
	}

	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{100, "ubd3: is /annex/ubd3 already (try: uml-ctl detach guest ubd3)", []string{"ubd3", "data"}},
		{100, "ubd0: is /ubd0 already", []string{"ubd0", "data"}},
		{111, "data: the disc is locked, and no process to be seen that holds it (is it attached", []string{"ubd4", "data"}},
		{100, "link: is a symbolic link", []string{"ubd4", "link"}},
		{100, "fifo: is a fifo", []string{"ubd4", "fifo"}},
		{100, "../lock\"", []string{"ubd4", "../lock"}},
		{100, "there is no such file", []string{"ubd4", "nosuch"}},
		{100, `"ubd8" is no device`, []string{"ubd8", "data"}},
		{100, `no flag 'x'`, []string{"ubd4", "data", "flags=x"}},
		{100, "is what the settings say", []string{"net", "x"}},
		{100, "a disc that is written lies in the jail", []string{"ubd4", "/dev/null"}},
	} {
		refusedBy(t, "uml-ctl", attach(append([]string{"attach", "guest"}, c.args...)...), c.code, c.want)
	}

	// A COW pair, which stays set; read by the guest from its backing file.
	l.Must("sh", "-c", "cd $0 && rm link fifo", m.Jail)
	must("attach", "guest", "ubd5", "cow,"+backing, "--keep")
	equal(t, read("ubdf"), "base")
	equal(t, l.Must("cat", m.Dir+"/settings/ubd5"), "cow,"+backing+"\n")

	// What the guest uses stays; what it does not goes, and may come again.
	m.Guest("sleep 1000 </dev/ubdd >/dev/null 2>&1 & echo $! >/tmp/pid")
	refusedBy(t, "uml-ctl", attach("detach", "guest", "ubd3"), 111, "ubd3: the guest does not let go of it (in the guest: umount it, or swapoff)")
	m.Guest("kill $(cat /tmp/pid)")
	l.Wait("the disc to be let go", func() bool { return attach("detach", "guest", "ubd3").Code == 0 })
	equal(t, must("config", "guest", "ubd3"), "")
	must("detach", "guest", "ubd5", "--keep")
	must("detach", "guest", "ubd5", "--keep")
	equal(t, l.Must("cat", m.Dir+"/settings/ubd5"), "")
	must("attach", "guest", "ubd6", "data", "flags=r")
	equal(t, read("ubdg"), "second")

	disturbed(t, l, m, attach)

	// The network, which the guest has to let go first.
	refusedBy(t, "uml-ctl", attach("attach", "guest", "net"), 100, "net: the guest has it already (try: uml-ctl detach guest net)")
	refusedBy(t, "uml-ctl", attach("detach", "guest", "net"), 111, "(in the guest: ip link set vec0 down)")
	// The new interface is told by its index: the guest may never see that there is none.
	m.Guest("{ cd /sys/class/net; was=$(cat vec0/ifindex); sleep 2; ip link set vec0 down; until is=$(cat vec0/ifindex) && [ $is != $was ]; do sleep 0.1; done; ip link set vec0 up; ip addr add " + address + "/32 dev vec0; ip route add default dev vec0; } </dev/null >/dev/null 2>&1 &")
	l.Wait("the interface to be let go", func() bool { return attach("detach", "guest", "net").Code == 0 })
	l.Must("ip", "link", "del", "tap_guest")
	must("attach", "guest", "net")
	l.WaitPing(address)

	memory(t, l, must, attach)

	// A kernel that is killed leaves processes that hold what it was given: the next
	// start ends them, and the disc, which was only read, can be written again.
	pid := m.PID()
	l.Kill(pid, unix.SIGKILL)
	m.WaitUp(pid)
	must("attach", "guest", "ubd3", "data")
}

// memory is taken as far as the guest can spare it, and all of it given back.
func memory(t *testing.T, l *lab.Lab, must func(...string) string, run func(...string) lab.Result) {
	if got := must("memory", "guest"); !strings.HasPrefix(got, "guest: 96M of 96M, ") {
		t.Errorf("memory: %q", got)
	}
	if got := must("memory", "guest", "64M"); !strings.HasPrefix(got, "guest: 64M of 96M, ") {
		t.Errorf("memory 64M: %q", got)
	}
	if got := must("proc", "guest", "meminfo"); !strings.HasPrefix(got, "MemTotal:") {
		t.Errorf("after that: %q", got)
	}
	refusedBy(t, "uml-ctl", run("memory", "guest", "16M"), 111, "guest: needs what it has")
	refusedBy(t, "uml-ctl", run("memory", "guest", "97M"), 100, "guest: was started with 96M")
	if got := must("memory", "guest", "96M"); !strings.HasPrefix(got, "guest: 96M of 96M, ") {
		t.Errorf("memory 96M: %q", got)
	}
}
