package firewall

import (
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/apart"
)

func TestMain(m *testing.M) { apart.Main(m) }

// A space is a network namespace.
type space struct {
	t  testing.TB
	fd int
}

func newSpace(t testing.TB) *space {
	t.Helper()
	s := &space{t, -1}
	var err error
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			s.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	})
	if err != nil {
		t.Fatal("new network namespace:", err)
	}
	t.Cleanup(func() { unix.Close(s.fd) })
	return s
}

// do runs f on a thread in the namespace that ends with it.
func (s *space) do(f func() error) error {
	var err error
	onThread(func() {
		if err = unix.Setns(s.fd, unix.CLONE_NEWNET); err == nil {
			err = f()
		}
	})
	return err
}

func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// sh runs shell lines in the namespace.
func (s *space) sh(script string) string {
	s.t.Helper()
	var out []byte
	err := s.do(func() (err error) {
		out, err = exec.Command("sh", "-ec", script).CombinedOutput()
		return err
	})
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}
