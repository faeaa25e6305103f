package test

import (
	"testing"

	"uml/test/lab"
)

// What a start makes for the user is his whatever umask the supervisor has: it
// would stay, and no later start could mend it.
func TestUmask(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	m := l.Machine("guest", lab.Settings{"swap": "64K"})
	if r := m.Run("sh", "-c", "umask 0777; exec uml-jail -- /bin/busybox touch /swap /uml/x"); r.Code != 0 {
		t.Errorf("exit %d: %s", r.Code, r.Err)
	}
}
