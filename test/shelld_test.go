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
	must(t, l, m.UID, request.Request{Act: request.Start})
	pid := m.WaitUp(0)
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
	t.Log(l.ShelldLog())
}
