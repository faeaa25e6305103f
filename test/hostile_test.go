package test

import (
	"strings"
	"testing"

	"uml/test/lab"
)

// What a start makes for the user is his whatever umask the supervisor has: it
// would stay, and no later start could mend it.
func TestUmask(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"swap": "64K"})
	if r := m.Run("sh", "-c", "umask 0777; exec uml-jail -- /bin/busybox sh -c ': >>/swap && : >/uml/x'"); r.Code != 0 {
		t.Errorf("exit %d: %s", r.Code, r.Err)
	}
}

func TestRootWithoutCapabilities(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	before := l.State()
	r := m.Run("setpriv", "--bounding-set=-all", "--inh-caps=-all", l.Bin+"/uml-run")
	if r.Code == 0 || !strings.Contains(r.Err, "without CAP_SETGID") || strings.Contains(r.Err, "%!") || strings.Contains(r.Err, "guest cannot") {
		t.Errorf("exit %d: %s", r.Code, r.Err)
	}
	same(t, before, l.State())
}

func TestNoProc(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := guest(l)
	before := l.State()
	r := m.Run("unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc; exec uml-run")
	if r.Code != 111 || !strings.Contains(r.Err, "without /proc") || strings.Contains(r.Err, "no such file") {
		t.Errorf("exit %d: %s", r.Code, r.Err)
	}
	same(t, before, l.State())
}
