package test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/test/lab"
)

// Each of these is one clear line and the right exit code, and nothing changed.
func TestBadInput(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		code int
		id   fault.ID
		want string
		make func(l *lab.Lab, m *lab.Machine) // what is wrong
	}{
		{"no settings", 100, fault.SettingBad, "settings: there is no such directory", on("rm -r settings")},
		{"no setting of that name", 100, fault.SettingBad, "settings/colour: is not a setting", on("echo red >settings/colour")},
		{"unknown user", 100, fault.AccountMissing, `no account "nobody-here"`, on("echo nobody-here >settings/user")},
		{"user root", 100, fault.SettingBad, `"root" is root`, on("echo root >settings/user")},
		{"no kernel", 100, fault.KernelMissing, "jail/linux: there is no such file", on("rm jail/linux")},
		{"kernel not executable", 100, fault.KernelBad, "jail/linux: guest cannot execute it", on("chmod 644 jail/linux")},
		{"kernel is a script", 100, fault.KernelBad, "jail/linux: ", on("printf '#!/bin/sh\\n' >jail/linux")},
		{"kernel of another architecture", 100, fault.KernelBad, "jail/linux: ", on(`printf '\267' | dd of=jail/linux bs=1 seek=18 conv=notrunc 2>&1`)},
		{"no disc", 100, fault.DiscMissing, "jail/ubd0: there is no such file", on("rm jail/ubd0")},
		{"kernel below a user's directory", 100, fault.NotRoots, "/d: others than root can change it", on(`
			mkdir -m 777 d; cp jail/linux d; ln -s d/linux link
			echo $PWD/link >settings/kernel`)},
		{"backing file in another's jail", 100, fault.NotRoots, "/other/jail: others than root can change it", on(`
			mkdir -p other/jail; chown daemon other/jail; truncate -s 1M other/jail/base
			echo "$PWD/other/jail/base flags=r" >settings/ubd1`)},
		{"disc is a directory", 100, fault.DiscBad, "jail/ubd0: is a directory", on("rm jail/ubd0; mkdir jail/ubd0")},
		{"disc is a fifo", 100, fault.DiscBad, "jail/ubd0: is a fifo", on("rm jail/ubd0; mkfifo jail/ubd0")},
		{"disc is a device", 100, fault.DiscBad, "jail/ubd0: is a device", on("rm jail/ubd0; mknod jail/ubd0 c 1 3")},
		{"disc is a symbolic link", 100, fault.DiscBad, "jail/ubd0: ", on("mv jail/ubd0 jail/x; ln -s x jail/ubd0")},
		{"disc not the user's to write", 100, fault.DiscBad, "jail/ubd0: guest cannot write it", on("chown root jail/ubd0; chmod 600 jail/ubd0")},
		{"disc open elsewhere", 111, fault.DiscInUse, "jail/ubd0: ", discOpen},
		{"no jail", 100, fault.JailBad, "jail: there is no such directory", on("rm -r jail")},
		{"jail of somebody else", 100, fault.JailBad, "jail: must be root's or guest's", on("chown daemon jail")},
		{"TAP's name taken", 100, fault.TAPForeign, "tap_guest", on("ip link add tap_guest type veth peer name x")},
		{"another user's TAP", 100, fault.TAPForeign, "tap_guest", on("ip tuntap add tap_guest mode tap user daemon")},
		{"no external interface", 111, fault.NetworkDown, "nosuch0", func(l *lab.Lab, m *lab.Machine) { l.SetHost("external", "nosuch0") }},
		{"external without carrier", 111, fault.NetworkDown, "ext0", noCarrier},
		{"no tun device", 100, fault.HostNoTun, "/dev/net/tun", on("mount -t tmpfs none /dev/net")},
		{"tracing forbidden", 100, fault.HostNoTrace, "kernel.yama.ptrace_scope is 2", on(`
			mount -t tmpfs none /proc/sys/kernel
			mkdir /proc/sys/kernel/yama
			echo 2 >/proc/sys/kernel/yama/ptrace_scope`)},
		{"address answers", 111, fault.AddressAnswers, address, func(l *lab.Lab, m *lab.Machine) {
			l.MustOther("ip", "addr", "add", address+"/32", "dev", "lo")
		}},
		{"no room for the swap", 111, fault.NoRoom, "jail/swap: ", on(`
			cp -a jail x
			mount -t tmpfs -o size=40M,mode=755 none jail
			cp -a x/. jail; rm -r x; chown guest: jail
			echo 64M >settings/swap
			dd if=/dev/zero of=jail/full bs=4k 2>/dev/null || :`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := guest(l)
			test.make(l, m)
			before := l.State()
			refused(t, m.Run("uml-run"), test.code, test.want)
			saidIDs(t, m.Run("uml-run", "--log-format", "json"), m.Name, test.code, test.id)
			same(t, before, l.State())
		})
	}
}

// on is a shell script, run on the host in the machine's directory.
func on(script string) func(*lab.Lab, *lab.Machine) {
	return func(l *lab.Lab, m *lab.Machine) { l.Must("sh", "-ec", "cd "+m.Dir+"\n"+script) }
}

// discOpen locks the disc as a guest kernel does that has it open. The lock goes
// with the descriptor, at the end of the test's process.
func discOpen(l *lab.Lab, m *lab.Machine) {
	fd, err := unix.Open(filepath.Join(m.Jail, "ubd0"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	if err != nil {
		panic(err)
	}
}

func noCarrier(l *lab.Lab, m *lab.Machine) {
	l.MustOther("ip", "link", "set", "wan0", "down")
	l.Wait("ext0 without carrier", func() bool { return strings.Contains(l.Must("ip", "link", "show", "ext0"), "state DOWN") })
}

func TestNotRoot(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	before := l.State()
	refused(t, m.Run("setpriv", "--reuid=guest", "--regid=guest", "--clear-groups", filepath.Join(l.Bin, "uml-run")), 100, "root")
	same(t, before, l.State())
}

func TestNoSuchName(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	before := l.State()
	refused(t, l.Run("uml-run", "nobody"), 100, "/machines/nobody: there is no such machine directory")
	refused(t, l.Run("uml-run", "-x"), 100, "-x")
	refused(t, l.Run("uml-run", "a b"), 100, `"a b" is no machine name`)
	same(t, before, l.State())
}

// supervise goes on with a log that has died.
func TestOutputClosed(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	before := l.State()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	var errs strings.Builder
	cmd := l.Cmd(ctx, m.Dir, "uml-run")
	cmd.Stdout, cmd.Stderr = writer, &errs
	cmd.Run()
	refused(t, lab.Result{Err: errs.String(), Code: cmd.ProcessState.ExitCode()}, 111, "standard output is closed")
	same(t, before, l.State())
}

// What is wrong in the jail is said all at once, and none of it followed.
func TestFaultsTogether(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"swap": "8M"})
	l.Must("sh", "-ec", "cd "+m.Dir+"; chmod 644 jail/linux; cd jail; rm ubd0; ln -s /etc/shadow ubd0; ln -s /etc/shadow swap; ln -s /etc uml")
	before := l.State()
	r := m.Run("uml-run")
	for _, want := range []string{"jail/linux: guest cannot execute it", "jail/ubd0: is a symbolic link", "jail/swap: is a symbolic link", "jail/uml: is not a directory"} {
		if !strings.Contains(r.Err, "uml-run: fatal: "+want) {
			t.Errorf("%q is not in\n%s", want, r.Err)
		}
	}
	if r.Code != 100 || strings.Count(r.Err, "\n") != 4 {
		t.Errorf("exit %d, said\n%s", r.Code, r.Err)
	}
	same(t, before, l.State())
}

func refused(t *testing.T, r lab.Result, code int, want string) {
	t.Helper()
	refusedBy(t, "uml-run", r, code, want)
}

// refusedBy: one line, on standard error only, and the code.
func refusedBy(t *testing.T, prog string, r lab.Result, code int, want string) {
	t.Helper()
	if r.Code != code {
		t.Errorf("exit %d, want %d", r.Code, code)
	}
	if !strings.HasPrefix(r.Err, prog+": fatal: ") || strings.Count(r.Err, "\n") != 1 || !strings.Contains(r.Err, want) {
		t.Errorf("said\n%swant one line with %q", r.Err, want)
	}
	if r.Out != "" {
		t.Errorf("printed %q", r.Out)
	}
}

// same compares two states of the host, and shows the lines that differ.
func same(t *testing.T, before, after string) {
	t.Helper()
	for _, d := range []struct{ sign, of, in string }{{"-", before, after}, {"+", after, before}} {
		for line := range strings.Lines(d.of) {
			if !strings.Contains(d.in, line) {
				t.Errorf("changed: %s %s", d.sign, line)
			}
		}
	}
}
