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

// Whose machine it is: nobody's but the account's whose home is its directory and
// whom its settings name.
func TestShelldRefuses(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	alice := l.Machine("alice", nil)
	alice.Login("/bin/false")
	bob := l.Machine("bob", nil)
	owned := l.Machine("owned", nil)
	owned.Login("/bin/false")
	l.Must("chown", "owned", owned.Dir)
	given := l.Machine("given", lab.Settings{"user": "bob"})
	given.Login("/bin/false")
	outside := l.MachineIn(l.Dir+"/elsewhere", "outside", nil)
	outside.Login("/bin/false")
	linked := l.MachineIn(l.Dir+"/elsewhere", "linked", nil)
	l.Must("ln", "-s", linked.Dir, l.Machines+"/linked")
	l.Must("mkdir", l.Machines+"/no name")
	homes, names := map[string]int{}, map[int]string{bob.UID: "bob", outside.UID: "outside"}
	for name, home := range map[string]string{
		"thief": alice.Dir, "inner": alice.Jail, "above": l.Machines, "root2": "/", "unnamed": l.Machines + "/no name",
		"dots": l.Machines + "/alice/../bob", "relative": "machines/alice", "byproc": "/proc/self/cwd", "linkhome": l.Machines + "/linked",
	} {
		homes[name] = l.Account(name)
		names[homes[name]] = name
		l.SetHome(name, home)
	}
	l.Must("ln", "-s", l.Machines, l.Dir+"/alias")
	l.SetHome("alice", l.Dir+"/alias/alice")
	l.Shelld("--machines", l.Dir+"/alias")
	none := "account %s has no machine: its home is no directory of a machine below " + l.Dir + "/alias"
	for _, c := range []struct {
		uid  int
		want string
	}{
		{0, "root has no machine account (uml-ctl does all of it)"},
		{4211, "user 4211 has no account here"},
		{bob.UID, none}, // whose home is elsewhere
		{owned.UID, owned.Dir + ": others than root can change it, so nothing below it is used (try: chown root " + owned.Dir + "; chmod go-w " + owned.Dir + ")"},
		{given.UID, "account given has no machine: given is another account's"},
		{outside.UID, none},
		{homes["thief"], "account thief has no machine: alice is another account's"},
		{homes["inner"], none},
		{homes["above"], none},
		{homes["root2"], none},
		{homes["unnamed"], none},
		{homes["dots"], "account dots has no machine: bob is another account's"},
		{homes["relative"], none},
		{homes["byproc"], none},
		{homes["linkhome"], none},
	} {
		want := strings.ReplaceAll(c.want, "%s", names[c.uid])
		if a, _, _ := asked(t, l, c.uid, request.Request{Act: request.Status}); a.Fault != want || a.Code != 100 {
			t.Errorf("user %d: got %d %q, want %q", c.uid, a.Code, a.Fault, want)
		}
	}
	if a, _ := must(t, l, alice.UID, request.Request{Act: request.Status}); a.Machine.Name != "alice" {
		t.Errorf("got %+v", a.Machine)
	}
	// Another machine in its place is not alice's.
	l.Must("sh", "-ec", "cd "+l.Machines+"; mv alice was; mv bob alice; echo bob >alice/settings/user")
	if a, _, _ := asked(t, l, alice.UID, request.Request{Act: request.Kill}); a.Fault != "account alice has no machine: alice is another account's" {
		t.Errorf("replaced: got %+v", a)
	}
	l.Must("sh", "-ec", "cd "+l.Machines+"; mv alice bob; mv was alice")
	must(t, l, alice.UID, request.Request{Act: request.Status})
}

// The log belongs to its logger, and no byte of it is anybody's but the machine's.
func TestShelldLog(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("bara", nil)
	m.Login("/bin/false")
	l.Account("logger")
	dir := m.Dir + "/log/main"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/current", []byte("one\ntwo\nthree\x1b[2J\x07\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Must("chown", "-R", "logger", dir)
	l.Shelld()
	_, fds := must(t, l, m.UID, request.Request{Act: request.Log, Lines: 2})
	if text, err := readAll(fds[0]); err != nil || text != "two\nthree\\a\n" {
		t.Errorf("got %q, %v", text, err)
	}
	_, fds = must(t, l, m.UID, request.Request{Act: request.Log, Lines: 1, Follow: true})
	if text := readTo(t, fds[0], "\n"); text != "three\\a\n" {
		t.Errorf("got %q", text)
	}
	f, err := os.OpenFile(dir+"/current", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("four\n"); err != nil {
		t.Fatal(err)
	}
	if text := readTo(t, fds[0], "four\n"); text != "four\n" {
		t.Errorf("got %q", text)
	}
	// Nobody reads any more: it ends, and says so.
	unix.Close(fds[0])
	l.Wait("the end of it", func() bool { return strings.Count(l.ShelldLog(), "bara: log: done") == 2 })
}

// readTo reads until what it has read ends so.
func readTo(t *testing.T, fd int, end string) (text string) {
	t.Helper()
	b := make([]byte, 100)
	for !strings.HasSuffix(text, end) {
		n, err := unix.Read(fd, b)
		if n <= 0 {
			t.Fatalf("%d, %v after %q", n, err, text)
		}
		text += string(b[:n])
	}
	return text
}

// Descriptors that nobody receives stay the account's own trouble.
func TestShelldUnheard(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("bara", nil)
	m.Login("/bin/false")
	l.Must("sh", "-ec", "mkdir -p $0/log/main; echo line >$0/log/main/current", m.Dir)
	l.Shelld()
	var all []int
	defer func() { packet.Close(all) }()
	for i := range 8 {
		sock := l.Ask(m.UID)
		all = append(all, sock)
		if err := packet.Send(sock, []byte(`{"act":"log","lines":1}`), nil, 0); err != nil {
			t.Fatal(err)
		}
		switch i % 3 { // to be let go
		case 1:
			unix.Shutdown(sock, unix.SHUT_WR)
		case 2:
			packet.Send(sock, nil, nil, 0)
			packet.Send(sock, []byte("more"), nil, 0)
		}
	}
	l.Wait("eight logs", func() bool { return strings.Count(l.ShelldLog(), "bara: log: done") == 8 })
	if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Status}); !strings.Contains(a.Fault, "too many connections of this account, 8") {
		t.Errorf("got %+v", a)
	}
	for _, sock := range all {
		unix.Close(sock)
	}
	all = nil
	l.Wait("them to be let go", func() bool {
		a, _, _ := asked(t, l, m.UID, request.Request{Act: request.Status})
		return a.Code == 0
	})
}

func readAll(fd int) (text string, err error) {
	b := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, b)
		if n <= 0 {
			return text, err
		}
		text += string(b[:n])
	}
}

// An account changes its keys, in a file that it cannot change itself; not where the
// host does not say so.
func TestShelldKeys(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.SetHost("account-keys", "yes")
	m := l.Machine("bara", nil)
	m.Login("/bin/false")
	l.Shelld()
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO9tEp3lR0hzFnoRGK9nYjMTv7rHDrXAvzSwFV8JfR+j"
	must(t, l, m.UID, request.Request{Act: request.AddKey, Line: key + " me@home"})
	text, err := os.ReadFile(m.Dir + "/.ssh/authorized_keys")
	if err != nil || string(text) != "restrict,pty "+key+" me@home\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if got := l.Must("stat", "-c", "%U %a", m.Dir+"/.ssh", m.Dir+"/.ssh/authorized_keys"); got != "root 755\nroot 644\n" {
		t.Errorf("got %q", got)
	}
	a, _ := must(t, l, m.UID, request.Request{Act: request.Keys})
	print, _, _ := strings.Cut(a.Text, " ")
	if !strings.HasPrefix(print, "SHA256:") || a.Text != print+" ssh-ed25519 me@home" {
		t.Errorf("got %q", a.Text)
	}
	for line, want := range map[string]string{
		print:         "the last key",
		"SHA256:none": "no key of this fingerprint",
	} {
		if a, _, _ := asked(t, l, m.UID, request.Request{Act: request.DropKey, Line: line}); a.Code != 100 || !strings.Contains(a.Fault, want) {
			t.Errorf("%s: got %+v", line, a)
		}
	}
	l.SetHost("account-keys", "no")
	l.StopShelld()
	l.Shelld()
	for _, act := range []request.Act{request.Keys, request.AddKey, request.DropKey} {
		r := request.Request{Act: act}
		if act != request.Keys {
			r.Line = key
		}
		if a, _, _ := asked(t, l, m.UID, r); a.Code != 100 || a.Fault != "keys are the host's administrator's to change here" {
			t.Errorf("%s: got %+v", act, a)
		}
	}
	if a, _ := must(t, l, m.UID, request.Request{Act: request.Login}); a.Keys {
		t.Error("keys may be changed")
	}
}

// Nothing that one account does makes another wait, and what is no request is told
// so in a line.
func TestShelldHostile(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	good, bad := l.Machine("good", nil), l.Machine("bad", nil)
	good.Login("/bin/false")
	bad.Login("/bin/false")
	l.Shelld()
	served := func(after string) {
		t.Helper()
		if a, _ := must(t, l, good.UID, request.Request{Act: request.Status}); a.Machine.Name != "good" {
			t.Errorf("after %s: %+v", after, a)
		}
	}
	served("nothing")

	var held []int
	for range 8 { // half-open
		held = append(held, l.Ask(bad.UID))
	}
	l.Wait("eight to be taken", func() bool {
		sock := l.Ask(bad.UID)
		defer unix.Close(sock)
		return strings.Contains(hear(sock), "too many connections of this account, 8")
	})
	served("eight silent connections")
	for _, sock := range held {
		if got := hear(sock); !strings.Contains(got, "no request came in 5s") {
			t.Errorf("silent: got %q", got)
		}
		unix.Close(sock)
	}

	pipe := [2]int{}
	if err := unix.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	defer packet.Close(pipe[:])
	for name, c := range map[string]struct {
		text string
		fds  []int
		want string
	}{
		"no JSON":       {"status", nil, "no request"},
		"long":          {strings.Repeat(" ", 100<<10), nil, "a packet of more than 16384 bytes"},
		"deep":          {strings.Repeat("[", 16000), nil, "no request"},
		"two":           {`{"act":"status"}{"act":"status"}`, nil, "more than one"},
		"another's":     {`{"act":"kill","machine":"good"}`, nil, "unknown field"},
		"path":          {`{"act":"console","channel":"../good"}`, nil, "is no console"},
		"NUL":           {"{\"act\":\"sta\x00tus\"}", nil, "no request"},
		"reboots it":    {`{"act":"sysrq","key":"b h"}`, nil, "none of the letters"},
		"crashes it":    {`{"act":"sysrq","key":"c"}`, nil, "none of the letters"},
		"descriptors":   {`{"act":"status"}`, pipe[:], "a request has no descriptors"},
		"its own sock":  {`{"act":"status"}`, []int{-1}, "a request has no descriptors"},
		"not ours":      {`{"act":"login","from":"a\nroot: stop: done"}`, nil, "is no address"},
		"forged a line": {`{"act":"x\nroot: stop"}`, nil, "is no act"},
	} {
		l.Wait("another try", func() bool { // at the rate that it has
			sock := l.Ask(bad.UID)
			defer unix.Close(sock)
			for i, fd := range c.fds {
				if fd < 0 {
					c.fds[i] = sock
				}
			}
			packet.Send(sock, []byte(c.text), c.fds, 0)
			got := hear(sock)
			if strings.Contains(got, "too many requests") {
				return false
			}
			// The answer to who sends descriptors goes with the connection, as a rule.
			if !strings.Contains(got, c.want) && !(c.fds != nil && strings.Contains(got, unix.ECONNRESET.Error())) {
				t.Errorf("%s: got %q", name, got)
			}
			return true
		})
	}
	served("what is no request")

	// Ten thousand at once, of users who have no machine, and of the account.
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: max(files.Max, 12000), Max: max(files.Max, 12000)})
	var flood []int
	for i := range 10000 {
		uid := bad.UID
		if i%2 == 0 {
			uid = 300000 + i
		}
		flood = append(flood, l.Ask(uid))
	}
	served("ten thousand connections")
	packet.Close(flood)
	if n := strings.Count(l.ShelldLog(), "\n"); n > 200 {
		t.Errorf("%d lines in the log", n)
	}
	if fds, err := os.ReadDir(l.Proc(l.ShelldPID(), "fd")); err != nil || len(fds) > 100 {
		t.Errorf("%d descriptors are left, %v", len(fds), err)
	}
	if strings.Contains(l.ShelldLog(), "\nroot:") {
		t.Errorf("a forged line:\n%s", l.ShelldLog())
	}

	// Another service is refused, and one that was killed leaves nothing in the way.
	if r := l.Run("uml-shelld"); r.Code != 111 || !strings.Contains(r.Err, "another one listens there already") {
		t.Errorf("a second one: %+v", r)
	}
	l.StopShelld()
	l.Shelld()
	served("a kill")
}

// hear is an answer as it comes.
func hear(sock int) string {
	b := make([]byte, 1<<16)
	n, fds, err := packet.Receive(sock, b, 0)
	packet.Close(fds)
	if err != nil {
		return err.Error()
	}
	return string(b[:n])
}

// systemd's socket, and its example of supervise.
func TestShelldStarted(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("bara", nil)
	m.Login("/bin/false")
	ask := func(by string) {
		t.Helper()
		l.Wait("an answer of "+by, func() bool {
			return l.Run("test", "-S", request.Socket).Code == 0
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
