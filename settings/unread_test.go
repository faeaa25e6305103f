package settings

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A setting that cannot be read now may be read later: the start that follows must
// not be told that its default is wrong, which would last.
func TestUnreadSetting(t *testing.T) {
	dir := machine(t, "no-such-account", map[string]string{"user": account})
	holder, err := os.OpenFile(dir.Join("settings/user"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatal(err)
	}
	_, err = Read(dir)
	if err == nil || fault.Code(err) != fault.MayPass || !strings.HasSuffix(err.Error(), "settings/user: its owner holds a lease on it (see /proc/locks)") {
		t.Errorf("got %v (%d)", err, fault.Code(err))
	}
}
