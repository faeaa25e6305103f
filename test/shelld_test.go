package test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/packet"
	"uml/request"
	"uml/test/lab"
)

// asked is one request of a user, answered.
func asked(t *testing.T, l *lab.Lab, uid int, r request.Request) (a *request.Answer, fds []int, steps []string) {
	t.Helper()
	sock := l.Ask(uid)
	defer unix.Close(sock)
	a, fds, err := request.Over(t.Context(), sock, r, func(s string) { steps = append(steps, s) })
	if err != nil {
		t.Fatalf("%s: %v\n%s", r.Act, err, l.ShelldLog())
	}
	t.Cleanup(func() { packet.Close(fds) })
	return a, fds, steps
}

// must is asked where it has to be done.
func must(t *testing.T, l *lab.Lab, uid int, r request.Request) (*request.Answer, []int) {
	t.Helper()
	a, fds, _ := asked(t, l, uid, r)
	if a.Code != 0 {
		t.Fatalf("%s: %d %s\n%s", r.Act, a.Code, a.Fault, l.ShelldLog())
	}
	return a, fds
}

// A guest's life by the requests of its account, in the confinement that is for it.
func TestShelld(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("account-keys", "yes")
	m := l.Machine("bara", lab.Settings{"ip4": "192.0.2.20"})
	m.Login("/bin/false")
	m.Activate()
	m.WaitUp(0)
	l.Shelld()

	if a, _ := must(t, l, m.UID, request.Request{Act: request.Login, From: "192.0.2.1"}); a.Machine == nil || a.Machine.Name != "bara" || a.Machine.State != "up" || !a.Keys {
		t.Errorf("login: %+v", a)
	}
	if a, _ := must(t, l, m.UID, request.Request{Act: request.SysRq, Key: "h"}); !strings.Contains(strings.ToLower(a.Text), "help") && a.Text != "" {
		t.Errorf("sysrq: %+v", a)
	}
	if _, fds := must(t, l, m.UID, request.Request{Act: request.Console, Channel: "con1", Wait: true}); len(fds) != 4 {
		t.Errorf("console: %d descriptors", len(fds))
	}
	if a, _, steps := asked(t, l, m.UID, request.Request{Act: request.Stop}); a.Code != 0 || !strings.HasPrefix(a.Text, "bara: clean (") || len(steps) == 0 {
		t.Errorf("stop: %+v %q", a, steps)
	}
	if a, _ := must(t, l, m.UID, request.Request{Act: request.Status}); a.Machine.State != "down" {
		t.Errorf("status: %+v", a.Machine)
	}

	// A console that is waited for, until the asker hangs up, or it is there.
	if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Console}); a.Code != 111 || a.Fault != "the guest is down" {
		t.Errorf("console of a guest that is down: %+v", a)
	}
	gone, stays := l.Ask(m.UID), l.Ask(m.UID)
	for _, sock := range []int{gone, stays} {
		if err := packet.Send(sock, []byte(`{"act":"console","wait":true}`), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	unix.Close(gone)
	l.Wait("the end of who hung up", func() bool { return strings.Contains(l.ShelldLog(), "bara: console: failed: hung up") })
	must(t, l, m.UID, request.Request{Act: request.Start})
	if _, fds, err := packet.Receive(stays, make([]byte, 1<<16), 0); err != nil || len(fds) != 4 {
		t.Errorf("a console that was waited for: %d descriptors, %v", len(fds), err)
	} else {
		packet.Close(fds)
	}
	unix.Close(stays)
	pid := m.WaitUp(0)

	// A stop goes on though who asked for it hung up; another is told of it.
	sock := l.Ask(m.UID)
	if err := packet.Send(sock, []byte(`{"act":"stop"}`), nil, 0); err != nil {
		t.Fatal(err)
	}
	if got := hear(sock); !strings.Contains(got, `"step":"asked to shut down`) {
		t.Errorf("stop: got %q", got)
	}
	unix.Close(sock)
	if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Kill}); a.Code != 111 || a.Fault != "a stop is under way already (wait for its end)" {
		t.Errorf("two at once: %+v", a)
	}
	l.Wait("the stop's end", func() bool { return strings.Count(l.ShelldLog(), "bara: stop: clean (") == 2 })
	must(t, l, m.UID, request.Request{Act: request.Start})
	pid = m.WaitUp(pid)
	if a, _ := must(t, l, m.UID, request.Request{Act: request.Restart}); !strings.Contains(a.Text, "clean") {
		t.Errorf("restart: %+v", a)
	}
	m.WaitUp(pid)
	if a, _ := must(t, l, m.UID, request.Request{Act: request.Kill}); !strings.HasPrefix(a.Text, "bara: killed (") {
		t.Errorf("kill: %+v", a)
	}
	m.WaitDown()
	if left := l.Processes(func(s lab.Status) bool { return s.Int("Uid") == m.UID }); len(left) > 0 {
		t.Errorf("kill left %v", left)
	}
	if err := os.WriteFile(l.Machines+"-nostart", []byte("Moving house.\nBack at noon.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Login}); a.Code != 111 || a.Fault != "Moving house." {
		t.Errorf("login: %+v", a)
	}
	if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Start}); a.Code != 111 || !strings.HasSuffix(a.Fault, ": Moving house.") {
		t.Errorf("start: %+v", a)
	}
}

// A guest that was broken out of lets its lock go: it is ended all the same. To who
// looks for its holder a lock file that was deleted is as good.
func TestShelldKillsUnlocked(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("bara", lab.Settings{"ip4": "192.0.2.20"})
	m.Login("/bin/false")
	m.Activate()
	m.WaitUp(0)
	l.Shelld()
	l.Must("rm", m.Dir+"/lock")
	if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Kill}); !strings.HasPrefix(a.Text, "bara: killed (") {
		t.Errorf("kill: %+v", a)
	}
	if left := l.Processes(func(s lab.Status) bool { return s.Int("Uid") == m.UID }); len(left) > 0 {
		t.Errorf("kill left %v", left)
	}
	must(t, l, m.UID, request.Request{Act: request.Start})
	m.WaitUp(0)
}

// systemd's socket, and its example of supervise.
func TestShelldStarted(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("bara", nil)
	m.Login("/bin/false")
	ask := func(by string) {
		t.Helper()
		l.Wait("an answer of "+by, func() bool { // the socket of the one before is there still
			sock, err := l.Connect(m.UID)
			if err == nil {
				unix.Close(sock)
			}
			return err == nil
		})
		if a, _ := must(t, l, m.UID, request.Request{Act: request.Status}); a.Machine.Name != "bara" {
			t.Errorf("%s: got %+v", by, a.Machine)
		}
	}
	systemd := l.Cmd(t.Context(), l.Dir, "sh", "-c", "mkdir -m 755 /run/uml-shelld; exec systemd-socket-activate -E PATH -E UML_MACHINES -E UML_SERVICE -E UML_HOST_SETTINGS --seqpacket -l "+request.Socket+" "+l.Bin+"/uml-shelld")
	if err := systemd.Start(); err != nil {
		t.Fatal(err)
	}
	l.Wait("systemd's socket", func() bool { return l.Run("chmod", "666", request.Socket).Code == 0 }) // the tool's is 644
	ask("systemd")
	l.StopShelld()
	systemd.Wait()

	dir := l.Dir + "/uml-shelld"
	l.Must("sh", "-ec", "mkdir $0; sed s,/usr/local/sbin,"+l.Bin+", "+abs(t, "../examples/uml-shelld/run")+" >$0/run; chmod 755 $0/run", dir)
	supervise := l.Cmd(t.Context(), l.Dir, "supervise", dir)
	if err := supervise.Start(); err != nil {
		t.Fatal(err)
	}
	l.Wait("supervise to start it", func() bool { return l.ShelldPID() != 0 })
	ask("supervise")

	// In a container.
	if r := l.Run("timeout", "3", "capsh", "--drop=cap_sys_admin", "--", "-c", "exec uml-shelld --open --socket /run/d/socket"); r.Code != 124 ||
		!strings.Contains(r.Err, "warning: cannot make namespaces") || !strings.Contains(r.Err, "listens at /run/d/socket") {
		t.Errorf("--open: %+v", r)
	}

	// What it cannot use it says, and ends.
	for args, want := range map[string]string{
		"env LISTEN_FDS=2 sh -c 'LISTEN_PID=$$ exec uml-shelld'":                    "it listens at one socket",
		"env LISTEN_FDS=1 sh -c 'LISTEN_PID=$$ exec uml-shelld' 3</dev/null":        "which was passed",
		"uml-shelld --socket run/x":                                                 "is no absolute path",
		"uml-shelld --socket /run/x/y/z":                                            "make the socket's directory",
		"uml-shelld --group nosuch --socket /run/b/socket":                          "--group",
		"uml-shelld --machines /nosuch":                                             "no such file",
		"uml-shelld now":                                                            "it takes no arguments",
		"touch /run/file; exec uml-shelld --socket /run/file":                       "is there, and no socket",
		"capsh --drop=cap_sys_admin -- -c 'exec uml-shelld --socket /run/c/socket'": "cannot make namespaces to be confined in",
	} {
		if r := l.Run("sh", "-c", args); r.Code != 100 || !strings.Contains(r.Err, want) {
			t.Errorf("%s: got %d %q", args, r.Code, r.Err)
		}
	}
}
