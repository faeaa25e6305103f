package test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/test/lab"
)

// uml-messages(7) has every ID that is declared, in order, and no other; each is used.
func TestMessages(t *testing.T) {
	t.Parallel()
	declared := map[string]string{} // by the constant's name
	var order []string
	file, err := parser.ParseFile(token.NewFileSet(), "../fault/ids.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			id, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared[v.Names[0].Name] = id
			order = append(order, id)
		}
		return true
	})
	page, err := os.ReadFile("../docs/uml-messages.7")
	if err != nil {
		t.Fatal(err)
	}
	_, sections, _ := strings.Cut(string(page), "\n.Sh IDENTIFIERS\n")
	sections, _, _ = strings.Cut(sections, "\n.Sh ")
	var documented []string
	for _, section := range strings.Split(sections, "\n.Ss ")[1:] {
		id, text, _ := strings.Cut(section, "\n")
		documented = append(documented, id)
		if !strings.Contains(text, "\nThe mend:") || !regexp.MustCompile(`(?i)(?m)^(fatal|warning|info)`).MatchString(text) {
			t.Errorf("%s: neither level nor mend:\n%s", id, text)
		}
	}
	if !slices.Equal(order, documented) || !slices.IsSorted(order) || len(order) < 40 {
		t.Errorf("declared %q\ndocumented %q", order, documented)
	}
	used := map[string]bool{}
	for _, dir := range list(t, "-f", "{{.Dir}}", "./...") {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") || strings.Contains(dir, "/test") {
				continue
			}
			for _, s := range selectors(t, f) {
				if name, ok := strings.CutPrefix(s, "fault."); ok {
					used[name] = true
				}
			}
		}
	}
	for name, id := range declared {
		own := []fault.ID{fault.MayPassID, fault.MustMendID, fault.Note, fault.Warning} // package fault gives them itself
		if !used[name] && !slices.Contains(own, fault.ID(id)) {
			t.Errorf("%s (%s) is used nowhere", name, id)
		}
	}
}

// A message is what a program reads of one.
type message struct {
	Program, Level, ID, Machine, Message string
	Code                                 *int
}

// messages are the lines of standard error, all of them JSON.
func messages(t *testing.T, text string) (all []message) {
	t.Helper()
	for line := range strings.Lines(text) {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		all = append(all, m)
	}
	return all
}

// saidIDs compares what a start of the machine said: IDs in order, those of what goes on before the
// fatal one, which has the exit code.
func saidIDs(t *testing.T, r lab.Result, machine string, code int, want ...fault.ID) {
	t.Helper()
	var ids []fault.ID
	for _, m := range messages(t, r.Err) {
		ids = append(ids, fault.ID(m.ID))
		if m.Program != "uml-run" || m.Machine != machine || m.Message == "" || (m.Level == "fatal") != (m.Code != nil) || m.Code != nil && *m.Code != code {
			t.Errorf("said %+v", m)
		}
	}
	if !slices.Equal(ids, want) || r.Code != code {
		t.Errorf("exit %d, said %q, want %d, %q:\n%s", r.Code, ids, code, want, r.Err)
	}
}

// onPair is a second disc, of which a page is half written, on a backing file of that filesystem.
func onPair(mkfs string) string {
	return "truncate -s 36M /run/base; mkfs.ext4 -q " + mkfs + " /run/base; cd jail; uml-disk cow create /run/base one 2>/dev/null; " +
		half + "\nchown guest: one; cd ..; echo one,/run/base >settings/ubd1\n"
}

// Each refusal of a start that TestBadInput does not make, and what it says on the way.
func TestMessageIDs(t *testing.T) {
	t.Parallel()
	const run = "\nexec uml-run --log-format json"
	other := func(l *lab.Lab, _ *lab.Machine) {
		l.Machine("other", lab.Settings{"ip4": "192.0.2.30"})
		l.Must("uml-net", "up", "other")
	}
	host := func(name, value string) func(*lab.Lab, *lab.Machine) {
		return func(l *lab.Lab, _ *lab.Machine) { l.SetHost(name, value) }
	}
	for _, test := range []struct {
		name   string
		code   int
		script string // run in the machine's directory
		make   func(l *lab.Lab, m *lab.Machine)
		want   []fault.ID
	}{
		{"usage", 100, "exec uml-run -x --log-format=json", nil, []fault.ID{fault.Usage}},
		{"by environment", 100, "rm jail/linux; UML_LOG_FORMAT=json exec uml-run", nil, []fault.ID{fault.KernelMissing}},
		{"by the host's setting", 100, "rm jail/linux; exec uml-run", host("log-format", "json"), []fault.ID{fault.KernelMissing}},
		{"a host's setting that is wrong, too", 100, "exec uml-run --log-format json", host("log-format", "xml"), []fault.ID{fault.SettingBad}},
		{"several at once", 100, "rm jail/linux; rm jail/ubd0" + run, nil, []fault.ID{fault.KernelMissing, fault.DiscMissing}},
		{"not root", 100, "exec setpriv --reuid=guest --regid=guest --clear-groups uml-run --log-format json", nil, []fault.ID{fault.NeedRoot}},
		{"another's to write", 100, "chmod g+w settings" + run, nil, []fault.ID{fault.NotRoots}},
		{"moved", 100, "echo host2 >moved-to" + run, nil, []fault.ID{fault.MachineMoved}},
		{"held by who took it", 111, "touch lock; flock lock sleep 100 & sleep 1" + run, nil, []fault.ID{fault.LockHeld}},
		{"held by a stranger", 111, "touch lock; (flock 9; sleep 100 2>&- & ) 9<lock; sleep 1" + run, nil, []fault.ID{fault.LockForeign}},
		{"no lock", 100, "mkdir lock" + run, nil, []fault.ID{fault.LockForeign}},
		{"strays", 100, "rm jail/linux; touch lock; (flock 9; setpriv --reuid=guest sleep 100 2>&- & ) 9<lock; sleep 1" + run, nil, []fault.ID{fault.StraysEnded, fault.KernelMissing}},
		{"runs without a lock", 111, "unshare -m setpriv --reuid=guest sleep 100 2>&- & sleep 1" + run, nil, []fault.ID{fault.RunsUnlocked}},
		{"no RAM left", 100, "exec uml-run --log-format json", host("overcommit", "0.0001"), []fault.ID{fault.MemoryShort}},
		{"RAM that will not do", 100, "echo 64T >settings/mem; rm jail/linux" + run, host("overcommit", "warn"), []fault.ID{fault.MemoryShort, fault.KernelMissing}},
		{"the log is dead", 111, "mkfifo p; exec 3<>p 4>p 3>&-; exec uml-run --log-format json >&4", nil, []fault.ID{fault.OutputClosed}},
		{"no log", 100, "rm jail/linux; exec uml-run --log-format json >&-", nil, []fault.ID{fault.OutputClosed, fault.KernelMissing}},
		{"no initrd", 100, "touch jail/initrd; echo initrd >settings/initrd" + run, nil, []fault.ID{fault.InitrdBad}},
		{"a share", 100, "echo require >settings/cgroup; echo 'weight 200' >settings/cpu; mount -t tmpfs none /sys/fs/cgroup" + run, nil,
			[]fault.ID{fault.ShareLost, fault.ShareLost, fault.ShareLost, fault.ShareLost}},
		{"the host's address", 100, "echo " + lab.HostIP4 + " >settings/ip4" + run, nil, []fault.ID{fault.AddressForeign}},
		{"another's address", 100, "echo 192.0.2.30 >settings/ip4" + run, other, []fault.ID{fault.AddressForeign}},
		{"another's account", 100, "echo other >settings/user; chown -R other: jail" + run, other, []fault.ID{fault.AccountShared}},
		{"the host's hardware address", 100, "cat /sys/class/net/ext0/address >settings/mac" + run, nil, []fault.ID{fault.MACTaken}},
		{"no bridge", 111, "echo bridged br0 >settings/net" + run, nil, []fault.ID{fault.BridgeBad}},
		{"no IPv6", 100, "echo 2001:db8:5::/64 >settings/ip6; mount -t tmpfs none /proc/sys/net/ipv6" + run, nil, []fault.ID{fault.HostNoIPv6}},
		{"no iptables", 100, "at=$(command -v uml-run); mount -t tmpfs none /usr/sbin; exec $at --log-format json", nil, []fault.ID{fault.ProgramMissing, fault.ProgramMissing}},
		{"alone, and over a limit", 100, "ip link add br0 type bridge; ip link set br0 up; echo bridged br0 >settings/net; ulimit -Sn 400; ulimit -Hn 500" + run, nil,
			[]fault.ID{fault.BridgeAlone, fault.HostLimit}},
		{"a host whose table sleeps", 100, "for f in ip ip6; do nft add table $f raw '{ flags dormant; }'; done" + run, func(l *lab.Lab, _ *lab.Machine) { l.Must("uml-net", "restore") },
			[]fault.ID{fault.RulesFailed, fault.RulesFailed}},
		{"a TAP that is open", 111, `socat TUN,tun-name=live_$(printf %x $(id -u guest)),tun-type=tun,iff-no-pi EXEC:"sleep 100" >/dev/null 2>&1 & sleep 1` + run, nil, []fault.ID{fault.TAPBusy}},
		{"a kernel that reboots", 100, "sed -i s/noreboot/noreb00t/ jail/linux; rm jail/ubd0" + run, nil, []fault.ID{fault.KernelReboots, fault.DiscMissing}},
		{"the lock is removed", 111, "(while kill -0 $$; do rm -f lock; sleep 0.1; done) >/dev/null 2>&1 &" + run, host("ping-timeout", "2000"), []fault.ID{fault.LockLost}},
		{"a disc that is read wrongly", 100, onPair("-b 1024") + run, nil, []fault.ID{fault.DiscUnsafe}},
		{"a disc that is mended, a wire that takes nothing, a dynamic linker that cannot be executed", 100, onPair("-b 4096") + `
			echo yes >settings/cow-mend
			tc qdisc add dev ext0 root bfifo limit 1
			cp /lib64/ld-linux-x86-64.so.2 /run/ld; chmod 644 /run/ld
			mount --bind /run/ld /lib64/ld-linux-x86-64.so.2` + run, func(l *lab.Lab, _ *lab.Machine) { l.Must("uml-net", "restore") },
			[]fault.ID{fault.AddressUnasked, fault.COWMended, fault.AnnounceFailed, fault.ExecFailed}},
		{"waits", 111, `
			touch ../../machines-nostart
			uml-run --log-format json & sleep 1; rm ../../machines-nostart; sleep 3; kill $!; wait $!`, host("stagger", "100-100"),
			[]fault.ID{fault.WaitsNoStart, fault.WaitsStagger, fault.Stopped}},
		{"waits for the host", 111, `unshare --time --boottime -$(($(cut -d. -f1 /proc/uptime) - 1)) --fork sh -c '
			uml-run --log-format json & sleep 1; kill $!; wait $!' # as on a host that is up for a second`, host("min-uptime", "86400"), []fault.ID{fault.WaitsUptime, fault.Stopped}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := guest(l)
			if test.make != nil {
				test.make(l, m)
			}
			machine := m.Name
			if test.want[0] == fault.Usage {
				machine = ""
			}
			saidIDs(t, m.Run("sh", "-c", test.script), machine, test.code, test.want...)
		})
	}
}

// What this host has and another may lack: the kernel says as it would there.
func TestMessagesOfOldHost(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.l.SetHost("log-format", "json")
	refused := func(at string, says unix.Errno, want fault.ID) {
		t.Helper()
		_, said, _ := v.start(t, failure{at, says})
		if all := messages(t, said); len(all) != 1 || all[0].ID != string(want) || all[0].Level != "fatal" {
			t.Errorf("%s says %v: said %s", at, says, said)
		}
	}
	refused("seccomp 0x1 #1", unix.ENOSYS, fault.HostNoSeccomp)
	v.m.Set("cgroup", "none")
	v.m.Set("lock", "yes")
	refused("fsconfig #1", unix.EINVAL, fault.HostNoNoswap)
}

// A stray that cannot be ended: a tracer holds it in the middle of its exit.
func TestMessageOfStray(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.leftover()
	stray := v.strays()[0]
	runtime.LockOSThread() // tracing belongs to the thread
	defer runtime.UnlockOSThread()
	outside := numberOutside(t, v.l, stray)
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(outside), 0, unix.PTRACE_O_TRACEEXIT, 0, 0); e != 0 {
		t.Fatal("PTRACE_SEIZE:", e)
	}
	defer func() {
		unix.Kill(outside, unix.SIGKILL)
		unix.Wait4(outside, nil, unix.WALL, nil)
		unix.PtraceDetach(outside)
	}()
	saidIDs(t, v.m.Run("uml-run", "--log-format", "json"), v.m.Name, 111, fault.StraysStay)
}

// numberOutside is the number that a process of the lab has here.
func numberOutside(t *testing.T, l *lab.Lab, pid int) int {
	t.Helper()
	want, err := os.Stat("/proc/" + strconv.Itoa(l.PID) + "/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	all, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range all {
		text, _ := os.ReadFile(file)
		ns, err := os.Stat(filepath.Dir(file) + "/ns/pid")
		if err == nil && os.SameFile(ns, want) && regexp.MustCompile(`\nNSpid:.*\t`+strconv.Itoa(pid)+"\n").Match(text) {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return n
		}
	}
	t.Fatalf("process %d is not seen from outside", pid)
	return 0
}

// What a name has in it stays in its line; and the list tells what a start failed with.
func TestMessagesHostile(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	l.Must("sh", "-ec", "cd "+m.Jail+`; rm ubd0; printf '#!/bin/sh "}\n{"time":"x",\033[2J\377' >linux`)
	r := m.Run("uml-run", "--log-format", "json")
	saidIDs(t, r, m.Name, 100, fault.KernelBad, fault.DiscMissing)
	if strings.ContainsRune(r.Err, '\x1b') {
		t.Errorf("said %q", r.Err)
	}
	l.SetHost("retry-delay", "60")
	m.Activate()
	l.Wait("the start to fail", func() bool { return strings.Contains(l.Run("uml-ctl", "list").Out, "failing") })
	if list := l.Must("uml-ctl", "list"); !strings.Contains(list, "(kernel-bad): "+m.Dir+"/jail/linux: ") && !strings.Contains(list, "(kernel-bad): ") {
		t.Errorf("listed\n%s", list)
	}
	if list := l.Must("uml-ctl", "list", "--json"); !strings.Contains(list, `"why_id": "kernel-bad"`) && !strings.Contains(list, `"why_id":"kernel-bad"`) {
		t.Errorf("listed\n%s", list)
	}
}

// Several machines of one command: each message is about its own.
func TestMessagesOfEach(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	m.Set("mem", "much")
	r := l.Run("uml-net", "up", "guest", "nobody", "--log-format", "json")
	var got []string
	for _, m := range messages(t, r.Err) {
		got = append(got, m.Program+" "+m.ID+" "+m.Machine)
	}
	if want := []string{"uml-net setting-bad guest", "uml-net machine-missing nobody"}; !slices.Equal(got, want) || r.Code != 100 {
		t.Errorf("exit %d, said %q, want %q", r.Code, got, want)
	}
	check := l.Run("uml-check", "--json", "guest").Out
	if !strings.Contains(check, `"id": "setting-bad"`) {
		t.Errorf("uml-check --json:\n%s", check)
	}
}
