package test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"uml/test/lab"
)

// door makes a host that customers log in to: sshd, the service, and machines.
func door(t *testing.T, names ...string) (*lab.Lab, []*lab.Machine) {
	t.Helper()
	l := lab.New(t)
	var all []*lab.Machine
	for i, name := range names {
		all = append(all, l.Machine(name, lab.Settings{"ip4": fmt.Sprintf("192.0.2.%d", 20+i)}))
	}
	l.Accounts(all...)
	l.SSHD(read(t, "../examples/sshd/uml.conf"))
	l.SetHost("account-keys", "yes")
	l.Shelld()
	return l, all
}

// A customer's day: he logs in, starts his guest and sees it boot, cuts its network
// off, mends that at the console, and stops it.
func TestShell(t *testing.T) {
	t.Parallel()
	l, all := door(t, "bara")
	m := all[0]
	l.Must("sh", "-ec", "touch $0/down; mkdir -p $0/log/main", m.Dir)
	m.Activate("sh", "-c", `d=$1; shift; "$@" 2>&1 | tee -a /dev/stderr | multilog t "$d/log/main"`, "sh", m.Dir)
	m.WaitDown()

	v := look(t, l, l.SSH("bara", "-t")...)
	v.sees("bara.*down")
	v.sees("bara> ")
	v.type_("boot\r")
	v.sees("Linux version")
	l.WaitPing(m.IP4)
	v.type_("\r")
	v.sees("/ # ")
	if got := v.asks("$(stty size)"); got != "50 132" {
		t.Errorf("size %q", got)
	}

	nic := v.asks("$(ls /sys/class/net | grep -v lo)")
	v.asks("$(ip link set " + nic + " down) cut")
	if l.Ping(m.IP4) {
		t.Error("it answers with its network cut off")
	}
	second := look(t, l, l.SSH("bara", "-t", "--")...) // is added to below
	second.sees("bara> ")
	second.type_("console\r")
	second.sees("joined")
	second.asks("$(ip link set " + nic + " up; ip route add default dev " + nic + ") mended")
	l.WaitPing(m.IP4)
	v.sees("<<42 mended")
	second.type_("\r\x1d.")
	second.sees(`(?s)mended.*bara> `)
	second.type_("status\rexit\r")
	second.sees("up")
	second.leaves(0)

	v.type_("\r\x1d.")
	v.sees(`(?s)mended.*bara> $`)
	v.type_("memory\rdiscs\raddresses\r")
	v.sees("64M")
	v.sees("ubd0")
	v.sees(regexp.QuoteMeta(m.IP4))
	v.type_("stop\r")
	v.sees(`(?s)clean.*bara> $`) // what is typed before is a terminal's that is cooked: no end
	m.WaitDown()
	if log := m.Log(); !strings.Contains(log, "System halted") && !strings.Contains(log, "reboot: ") {
		t.Errorf("no clean end in the log:\n%s", log)
	}
	v.type_("\x04")
	v.leaves(0)

	for command, want := range map[string]string{"status": "down", "log -n 5": "reboot", "help": "console"} {
		r := l.Run(append(l.SSH("bara"), command)...)
		if r.Code != 0 || !strings.Contains(r.Out, want) || r.Err != "" {
			t.Errorf("%s: exit %d, %q, %q", command, r.Code, r.Out, r.Err)
		}
	}
	l.Must("sh", "-c", `echo "moving to another rack until noon" >"$UML_MACHINES-nostart"`)
	for _, command := range []string{"", "status", "start"} {
		r := l.Run(append(l.SSH("bara"), strings.Fields(command)...)...)
		refusedBy(t, "uml-shell", r, 111, "moving to another rack until noon")
	}
}

// What one more customer at his prompt costs: memory that no other process shares.
func TestShellMemory(t *testing.T) {
	t.Parallel()
	l, all := door(t, "bara")
	const customers, most = 20, 5 << 10 // KB
	for range customers {
		v := look(t, l, "setpriv", "--reuid=bara", "--regid=bara", "--clear-groups", l.Shell())
		v.sees("bara> ")
	}
	var private []int
	for _, pid := range l.Processes(func(s lab.Status) bool { return s["Name"] == "uml-shell" && s.Int("Uid") == all[0].UID }) {
		sum := 0
		for _, m := range regexp.MustCompile(`Private_\w+: +(\d+) kB`).FindAllStringSubmatch(read(t, l.Proc(pid, "smaps_rollup")), -1) {
			n, _ := strconv.Atoi(m[1])
			sum += n
		}
		private = append(private, sum)
	}
	slices.Sort(private)
	if len(private) < customers || private[len(private)-1] > most {
		t.Errorf("KB for each of %d: %d", len(private), private)
	}
	t.Logf("KB for each: %d to %d", private[0], private[len(private)-1])
}
