package jail

import (
	"fmt"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminals are pairs that the kernel inherits both ends of. It reads and writes
// the slave, as a login on a host does: so the size that a viewer sets on the master
// reaches the guest. The master it only holds, and a viewer takes a copy of it
// (pidfd_getfd(2)): no viewer is the last one that has it open, so that nobody's
// leaving hangs the guest's session up.
//
// With a pts of the kernel's own it is the other way round: it has the master, the
// last viewer's close hangs up, and sizes do not come through (arch/um/drivers/pty.c).
const firstTerminal = 110

// Slave is the descriptor of the slave of terminal i. They are the same in every
// start, and far above those that a start has open by then.
func Slave(i int) int { return firstTerminal + 2*i }

// Master is that of its master.
func Master(i int) int { return Slave(i) + 1 }

// openTerminals makes the pairs, in the jail, while descriptors above the guest's
// own limit can still be had.
func (j *Jail) openTerminals() error {
	for i := range j.Terminals {
		if err := j.openTerminal(i); err != nil {
			return fmt.Errorf("make a terminal in the jail: %w", err)
		}
		j.Keep = append(j.Keep, uint(Slave(i)), uint(Master(i)))
	}
	return nil
}

func (j *Jail) openTerminal(i int) error {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	peer, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		return e
	}
	slave := int(peer)
	defer unix.Close(slave)
	if err := unix.Fchown(slave, j.Account.UID, j.Account.GID); err != nil {
		return err
	}
	// The kernel does so too, but only when the guest opens it, and what was typed
	// until then would have been echoed.
	if _, err := term.MakeRaw(slave); err != nil {
		return err
	}
	return inherit([]int{slave, master}, Slave(i))
}
