package test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/packet"
	"uml/request"
	"uml/test/lab"
)

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
			if !strings.Contains(got, c.want) {
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

// hear is an answer as it comes. What we sent and the service did not read, as it does
// not read descriptors, is told first, once (ECONNRESET, net/unix/af_unix.c).
func hear(sock int) string {
	b := make([]byte, 1<<16)
	n, fds, err := packet.Receive(sock, b, 0)
	if errors.Is(err, unix.ECONNRESET) {
		n, fds, err = packet.Receive(sock, b, 0)
	}
	packet.Close(fds)
	if err != nil {
		return err.Error()
	}
	return string(b[:n])
}
