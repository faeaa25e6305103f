package jail

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What is let go of is unlocked, and nothing else is: whatever a look through the box
// has left there that was killed.
func TestLetGo(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := inherit(pair[:], boxIn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range []int{pair[0], pair[1], boxIn, boxOut} {
			unix.Close(fd)
		}
	})
	process, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(process)

	dir := t.TempDir()
	hold := func(name string) {
		t.Helper()
		f, err := os.Create(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			t.Fatal(err)
		}
		if err := Hold(process, name, []*os.File{f}); err != nil {
			t.Fatal(err)
		}
	}
	letGo := func(name string) {
		t.Helper()
		if err := LetGo(process, name); err != nil {
			t.Fatal(err)
		}
	}
	want := func(name string, held bool) {
		t.Helper()
		f, err := os.Open(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) || (err != nil) != held {
			t.Errorf("%s: got %v, want it held: %v", name, err, held)
		}
	}

	hold("ubd1")
	hold("ubd2")
	unix.Sendto(boxIn, nil, 0, nil)
	hold("ubd3")
	unix.Sendmsg(boxIn, []byte("two"), unix.UnixRights(pair[0], pair[0]), nil, 0)
	hold("ubd4")
	for range 3 { // in whatever order they come to be
		letGo("ubd9")
	}
	letGo("ubd4")
	letGo("ubd2")
	want("ubd1", true)
	want("ubd2", false)
	want("ubd3", true)
	want("ubd4", false)
	letGo("ubd1")
	letGo("ubd3")
	want("ubd1", false)
	want("ubd3", false)
}
