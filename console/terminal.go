package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"uml/fault"
	"uml/handle"
	"uml/mconsole"
)

// A terminal is what the guest's console is joined to: of a terminal pair the
// end that the guest does not have. All that the kernel says of it is the word of
// the guest: only a terminal of the jail's own devpts is taken, which has none of
// the host's.
type terminal struct {
	fd int
	// slave is the pair's other end, opened for this terminal alone: the lock of
	// who reads is on it, since fd is one open file for all who take it.
	slave int
}

func (t *terminal) close() {
	unix.Close(t.fd)
	if t.slave != t.fd {
		unix.Close(t.slave)
	}
}

// errUnopened: the kernel makes the terminal when the guest first opens it.
var errUnopened = errors.New("the guest has not opened it yet")

// take takes the channel's terminal, whatever the kernel calls it.
func (g *Guest) take(ctx context.Context, channel string) (*terminal, error) {
	if g.given != nil {
		return g.given.take(ctx)
	}
	config, err := g.Config(ctx)
	if refusal := (*mconsole.Refusal)(nil); errors.As(err, &refusal) { // it is booting
		return nil, fault.Temporary("%w: %w", errUnopened, err)
	}
	if err != nil {
		return nil, err
	}
	return g.terminal(channel, config)
}

// terminal takes what the kernel calls the channel's terminal.
func (g *Guest) terminal(channel, config string) (*terminal, error) {
	config = strings.TrimSpace(config)
	devpts, err := g.devpts()
	if err != nil {
		return nil, g.refused(err)
	}
	var t *terminal
	if fd, ok := strings.CutPrefix(config, "fd:"); ok && number(fd) > 2 { // 0, 1 and 2 are the log's
		t, err = g.master(number(fd), devpts)
	} else if n, ok := strings.CutPrefix(config, "pts:/dev/pts/"); ok && number(n) >= 0 {
		t, err = g.pts(number(n), devpts)
	} else if config == "pts" || config == "none" { // none is what a kernel says while it boots
		return nil, fault.Temporary("%s: %s is %s: %w (or its setting is not pts)", g.name, channel, config, errUnopened)
	} else {
		return nil, fault.Permanent("%s: %s is %q, no terminal (in the machine's settings, %s has to be pts when the guest starts)", g.name, channel, config, channel)
	}
	if err != nil {
		return nil, g.refused(fmt.Errorf("%s: take the terminal of %s, %s: %w", g.name, channel, config, err))
	}
	return t, nil
}

// devpts is the device of the jail's terminals. It lies on a mount of the jail's
// that the kernel cannot change.
func (g *Guest) devpts() (uint64, error) {
	dir, err := g.root.Dir("dev/pts")
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	st, err := dir.Stat()
	if err != nil {
		return 0, err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(dir.Fd(), &fs); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir.Path, Err: err}
	}
	var host unix.Stat_t
	if unix.Stat("/dev/pts", &host) == nil && host.Dev == st.Dev || fs.Type != unix.DEVPTS_SUPER_MAGIC {
		return 0, fault.Permanent("%s: is no devpts of the guest's own", dir.Path)
	}
	return st.Dev, nil
}

// master takes, out of the kernel's process, the master of the pair whose slave
// is its descriptor fd: whichever gives that very slave when asked for it.
func (g *Guest) master(fd int, devpts uint64) (*terminal, error) {
	proc := fmt.Sprintf("/proc/%d/", g.pid)
	slave, err := handle.Known(proc + "fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}
	if slave.Dev != devpts || !isPts(&slave) {
		return nil, fault.Permanent("descriptor %d is no terminal of the jail's", fd)
	}
	all, err := os.ReadDir(proc + "fdinfo")
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		info, err := handle.HeadProc(proc + "fdinfo/" + e.Name())
		if err != nil || !bytes.Contains(info, []byte("tty-index:")) {
			continue
		}
		t, err := g.taken(number(e.Name()), &slave)
		if t != nil || err != nil {
			return t, err
		}
	}
	return nil, fault.Permanent("the kernel has the slave, %d, and not the master (start the guest anew)", fd)
}

// taken is the kernel's descriptor n if it is the master of slave.
func (g *Guest) taken(n int, slave *unix.Stat_t) (*terminal, error) {
	fd, err := unix.PidfdGetfd(g.process, n, 0)
	if errors.Is(err, unix.EBADF) {
		return nil, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_getfd", err)
	}
	if peer := peerOf(fd, slave); peer >= 0 && unix.SetNonblock(fd, true) == nil {
		return &terminal{fd, peer}, nil
	}
	unix.Close(fd)
	return nil, nil
}

// peerOf opens the slave of a master, -1 if it is not this one (ioctl_tty(2),
// TIOCGPTPEER: no path is looked up).
func peerOf(fd int, slave *unix.Stat_t) int {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(5, 2) {
		return -1
	}
	peer, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		return -1
	}
	if unix.Fstat(int(peer), &st) != nil || st.Dev != slave.Dev || st.Ino != slave.Ino {
		unix.Close(int(peer))
		return -1
	}
	return int(peer)
}

// pts opens a slave whose master is the kernel's: so it is of a guest that was
// started with another uml-run, or that was given the terminal later. That one
// hangs up when nobody has it open, and learns of no window size.
func (g *Guest) pts(n int, devpts uint64) (*terminal, error) {
	f, err := g.root.Open("dev/pts/" + strconv.Itoa(n))
	if errors.Is(err, unix.ENOENT) {
		return nil, fault.Temporary("%w (it was closed meanwhile)", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Stat.Dev != devpts || !isPts(&f.Stat) {
		return nil, fault.Permanent("%s: is no terminal of the jail's", f.Path)
	}
	var opened *os.File // with the rights of the user whose it is: a service may have no more
	if err := g.asUser(func() (err error) { opened, err = f.Reopen(unix.O_RDWR); return err }); err != nil {
		return nil, err
	}
	defer opened.Close()
	fd, err := unix.FcntlInt(opened.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		_, err = term.MakeRaw(fd)
		err = errors.Join(unix.SetNonblock(fd, true), err)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: f.Path, Err: err}
	}
	return &terminal{fd, fd}, nil
}

// isPts: Documentation/admin-guide/devices.txt, 136 to 143 are UNIX98 slaves.
func isPts(st *unix.Stat_t) bool {
	major := unix.Major(st.Rdev)
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && major >= 136 && major <= 143
}

// number is what a short decimal says; -1 if it is none.
func number(s string) int {
	n, err := strconv.ParseUint(s, 10, 20)
	if err != nil {
		return -1
	}
	return int(n)
}

// lock makes this process the one that reads the terminal; false if another is.
// The lock goes with the descriptor: to whom it is sent, and when all are dead.
func (t *terminal) lock() (bool, error) {
	for {
		switch err := unix.Flock(t.slave, unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, fmt.Errorf("lock the terminal: %w", err)
		}
	}
}

func (t *terminal) resize(w unix.Winsize) {
	unix.IoctlSetWinsize(t.fd, unix.TIOCSWINSZ, &w) // one that has no size stays without
}
