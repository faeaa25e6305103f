package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// A Guest is a guest's kernel, held by its process and seen from its own root.
type Guest struct {
	// Config asks the kernel what the channel is: "fd:7", "pts:/dev/pts/0".
	Config func(context.Context) (string, error)

	name     string
	pid      int
	uid, gid int
	process  int // pidfd
	root     *handle.Dir
	uml      *handle.Dir // the user's, for sockets

	given *given // for one who may not look himself
}

// Hold takes hold of the guest kernel that is process pid and runs as uid. That
// pid is such a kernel is for the caller to make sure of, once before and once
// after.
func Hold(pid, uid int, name string) (*Guest, error) {
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, fault.GuestDown.Temporary("%s: the guest has just ended", name)
	}
	if err != nil {
		return nil, fmt.Errorf("hold process %d: %w", pid, err)
	}
	g := &Guest{name: name, pid: pid, uid: uid, process: process}
	if err := g.look(); err != nil {
		g.Close()
		return nil, g.refused(err)
	}
	return g, nil
}

func (g *Guest) look() (err error) {
	if g.root, err = handle.OpenDir(fmt.Sprintf("/proc/%d/root", g.pid)); err != nil {
		return err
	}
	if g.uml, err = g.root.Dir("uml"); err != nil {
		return err
	}
	st, err := g.uml.Stat()
	g.gid = int(st.Gid)
	return err
}

// Close lets go of the kernel.
func (g *Guest) Close() {
	g.given.close()
	if g.uml != nil {
		g.uml.Close()
	}
	if g.root != nil {
		g.root.Close()
	}
	unix.Close(g.process)
}

// ended waits up to so many milliseconds for the kernel's end.
func (g *Guest) ended(ms int) bool {
	fds := []unix.PollFd{{Fd: int32(g.process), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, ms)
	return err == nil && n > 0
}

// wake has the kernel look at its terminals. It waits for SIGIO to go on writing,
// and the host's kernel sends that once, when a reader has emptied the terminal's
// last 4 KB, which may be before there is room in the 64 KB behind them
// (drivers/tty/n_tty.c, n_tty_check_unthrottle): a kernel that finds none then
// waits until something is typed. Any reader of a flood sees that.
func (g *Guest) wake() { unix.PidfdSendSignal(g.process, unix.SIGIO, nil, 0) }

// asUser does something with the rights on files that the guest's user has.
func (g *Guest) asUser(do func() error) error {
	if os.Geteuid() == g.uid {
		return do()
	}
	return handle.As(g.uid, g.gid, do)
}

// refused says who may look into the kernel's process, where that was the trouble:
// whoever may trace it (ptrace(2), "Ptrace access mode checking"). With Yama a
// user may not trace what is none of his own children's.
func (g *Guest) refused(err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return err
	}
	switch os.Geteuid() {
	case 0:
		return fault.Permanent("%w (is this root without CAP_SYS_PTRACE?)", err)
	case g.uid:
		if text, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); len(text) > 0 && text[0] != '0' {
			return fault.Permanent("%w (kernel.yama.ptrace_scope is %s: only root can open the console, and while root views it you can join)", err, strings.TrimSpace(string(text)))
		}
		return fault.Permanent("%w", err)
	}
	return fault.Permanent("%w (only root and user %d, the guest's, may)", err, g.uid)
}

// IsChannel says whether a UML kernel can have a channel of that name
// (arch/um/drivers/stdio_console.c, ssl.c).
func IsChannel(s string) bool {
	for kind, n := range map[string]int{"con": 16, "ssl": 64} {
		if digits, ok := strings.CutPrefix(s, kind); ok {
			i := number(digits)
			return i >= 0 && i < n && strconv.Itoa(i) == digits
		}
	}
	return false
}
