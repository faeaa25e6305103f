package lab

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	initName = "uml-lab-init"
	keep     = "k"
)

// A program that imports this package is, by this name, a lab's first process.
func init() {
	if os.Args[0] != initName {
		return
	}
	if err := mounts(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	os.Stdout.Close()
	go hang()
	reap()
}

// hang ends the lab when the pipe closes, unless it was told to keep it.
func hang() {
	order := make([]byte, len(keep))
	if n, _ := os.Stdin.Read(order); n == 0 {
		os.Exit(0)
	}
	os.Stderr.Close() // whoever reads it waits for its end
}

// reap takes the orphans in, as a host's init does.
func reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	for {
		for pid := 1; pid > 0; {
			pid, _ = unix.Wait4(-1, nil, unix.WNOHANG, nil)
		}
		<-ended
	}
}

var accountFiles = []string{"passwd", "group", "shadow"}

// mounts makes the lab's own view of the files: nothing of it is seen outside.
func mounts(dir string) error {
	all := []mount{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", 0, ""},
		{"run", "/run", "tmpfs", 0, "mode=755"},
		{"dev", "/dev", "tmpfs", 0, "mode=755"},
	}
	for _, f := range accountFiles {
		all = append(all, mount{filepath.Join(dir, "etc", f), "/etc/" + f, "", unix.MS_BIND, ""})
	}
	for _, m := range all {
		if err := m.make(); err != nil {
			return err
		}
	}
	if err := os.Mkdir(Templates, 0o755); err != nil {
		return err
	}
	if err := (mount{filepath.Join(dir, "templates"), Templates, "", unix.MS_BIND, ""}).make(); err != nil {
		return err
	}
	if err := devices(); err != nil {
		return err
	}
	return unix.Sethostname([]byte("host"))
}

type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func (m mount) make() error {
	if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("mount %s: %w", m.target, err)
	}
	return nil
}

// devices fills the fresh /dev: that of a bare root has none.
func devices() error {
	unix.Umask(0)
	defer unix.Umask(0o022)
	for _, d := range []string{"net", "pts", "shm"} {
		if err := os.Mkdir("/dev/"+d, 0o755); err != nil {
			return err
		}
	}
	for _, n := range []struct {
		name         string
		major, minor uint32
	}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}, {"net/tun", 10, 200}} {
		if err := unix.Mknod("/dev/"+n.name, unix.S_IFCHR|0o666, int(unix.Mkdev(n.major, n.minor))); err != nil {
			return fmt.Errorf("make /dev/%s: %w", n.name, err)
		}
	}
	for name, to := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(to, "/dev/"+name); err != nil {
			return err
		}
	}
	if err := (mount{"shm", "/dev/shm", "tmpfs", 0, "mode=1777"}).make(); err != nil {
		return err
	}
	return mount{"devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620"}.make()
}
