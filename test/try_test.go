package test

import (
	"path/filepath"
	"strings"
	"testing"

	"uml/test/lab"
)

// A kernel is tried on a machine that is down, and on one that runs: it comes up, and
// nothing of the machine is changed, nor left behind.
func TestTry(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address, "swap": "1M"})
	odd := l.Machine("odd", lab.Settings{"ip6": "2001:db8:1::/64", "net": "routed"})
	store(l, m, odd)
	l.Must("sh", "-ec", "cd $0; truncate -s 1049088 ubd1; chown odd: ubd1", odd.Jail) // no COW file is made on such a disc
	state := func() string {
		return l.Must("sh", "-c", "cd $0; md5sum */jail/ubd* */settings/*; ls -A . */; ip -br link; ip route; cat /proc/mounts; pgrep -a -f '^(linux|uml-)'", l.Machines)
	}
	before := state()
	for _, c := range []struct{ machine, address string }{{"guest", address}, {"odd", ""}} {
		out := l.Must("uml-kernel", "try", "debian", c.machine)
		for _, want := range []string{"prompt \"", c.address + " answers after ", "mconsole: ", c.machine + " comes up with debian\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: said no %q:\n%s", c.machine, want, out)
			}
		}
		same(t, before, state())
	}

	m.Activate()
	pid := m.WaitUp(0)
	out := l.Must("uml-kernel", "try", "debian", "guest")
	if !strings.Contains(out, "is copied while its guest writes it") || !strings.Contains(out, "guest comes up with debian\n") {
		t.Errorf("of a guest that runs: %s", out)
	}
	if m.PID() != pid || !l.Ping(m.IP4) {
		t.Error("the guest itself suffered")
	}
	equal(t, l.Must("sh", "-c", "ls -A $0 | grep try; ps -eo uid= | awk '$1 >= 2000000000'", l.Machines), "")
}

// What does not come up is said with the last of its log.
func TestTryRefused(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	panics := l.Machine("panics", lab.Settings{"ip4": address, "args": "init=/bin/false"})
	empty := l.Machine("empty", nil)
	hangs := l.Machine("hangs", lab.Settings{"args": "init=/sbin/hang"})
	store(l, panics, empty, hangs)
	l.Must("sh", "-ec", "cd $0; rm ubd0; truncate -s 1M ubd0; mkfs.ext4 -q -b 4096 ubd0; chown empty: ubd0", empty.Jail)
	l.Must("sh", "-ec", `echo '#!/bin/sh
		exec sleep 1000' >hang; chmod 755 hang; debugfs -w -R 'write hang sbin/hang' $0/ubd0 2>/dev/null`, hangs.Jail)
	before := l.Must("sh", "-c", "cd $0; md5sum */jail/ubd*; ls -A . */", l.Machines)
	for _, c := range []struct{ machine, timeout, log, want string }{
		{"panics", "1m", "Attempted to kill init", "did not come up with " + filepath.Join(l.Dir, "kernels/debian/linux") + ": the guest ended (exit status 134); no answer from " + address + ", no log-in prompt"},
		{"empty", "1m", "uml-overlay-init: fatal: execute /sbin/init: no such file or directory", "did not come up"},
		{"hangs", "5s", "Run /init as init process", "not within 5s; no log-in prompt"},
	} {
		r := l.Run("uml-kernel", "try", "--timeout", c.timeout, "debian", c.machine)
		if r.Code != 100 || !strings.Contains(r.Out, "\n| ") || !strings.Contains(r.Out, c.log) || !strings.Contains(r.Err, c.want) {
			t.Errorf("%s: exit %d, said\n%s%s", c.machine, r.Code, r.Out, r.Err)
		}
	}
	empty.Set("mem", "1K")
	for _, c := range []struct{ kernel, machine, want string }{
		{"debian", "empty", `settings/mem: "1K" is too little`},
		{"debian", "nobody", "there is no such machine"},
		{"none", "panics", "there is no such kernel (there are [debian])"},
	} {
		refusedBy(t, "uml-kernel", l.Run("uml-kernel", "try", c.kernel, c.machine), 100, c.want)
	}
	empty.Unset("mem")
	same(t, before, l.Must("sh", "-c", "cd $0; md5sum */jail/ubd*; ls -A . */", l.Machines))
}

// However a trial ends, its guest ends with it, and the machine can start; the next one
// removes what one that was killed has left.
func TestTryKilled(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"ip4": address})
	store(l, m)
	for _, signal := range []string{"KILL", "TERM"} {
		for _, after := range []string{"0.1", "0.3", "0.6", "1", "1.4"} {
			l.Run("sh", "-c", "uml-kernel try debian guest & sleep $1; kill -$0 $!; wait", signal, after)
			l.Wait("its end", func() bool { return l.Run("pgrep", "-u", "guest").Code != 0 })
			l.Wait("the end of what started it", func() bool { return l.Run("pgrep", "-f", "uml-kernel-trial").Code != 0 })
			if left := l.Must("sh", "-c", "ls -A $0 | grep -v '^guest$' | wc -l", l.Machines); signal == "TERM" && left != "0\n" {
				t.Errorf("TERM after %s left %s", after, left)
			}
		}
	}
	m.Activate()
	m.WaitUp(0)
}
