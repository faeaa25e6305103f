package netsetup

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// Handed is the least number of a descriptor that is handed over: the same in
// every start, since no start has so many files open, and the guest kernel's
// arguments name it.
const Handed = 100

// OpenTUN opens the driver of all TAPs: Attach makes the descriptor the machine's
// TAP. Until then it is none, and no carrier is on any.
func OpenTUN() (*os.File, error) {
	fd, err := openTUN(unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, Handed)
	if err != nil {
		return nil, fmt.Errorf("take a descriptor from %d on (is the limit of open files below it?): %w", Handed, err)
	}
	return os.NewFile(uintptr(high), "/dev/net/tun"), nil
}

// Attach opens the machine's TAP, which Up has made, through tun. From then on the
// host answers for the guest's addresses, as if the guest ran: it comes as late as
// can be.
func Attach(tun *os.File, m *settings.Machine) error {
	fd := int(tun.Fd())
	err := setIFF(fd, m.TAP, unix.IFF_TAP)
	if errors.Is(err, unix.EBUSY) {
		return fault.TAPBusy.Temporary("%s: a process has it open (end it: the guest is down)", m.TAP)
	}
	if err != nil {
		return fmt.Errorf("open TAP %s: %w", m.TAP, err)
	}
	// What the last guest wished stays with the TAP: large frames, and checksums
	// left to the reader. This descriptor has no header that could say so.
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		return fmt.Errorf("TAP %s: take no offloads: %w", m.TAP, err)
	}
	return attached(m)
}

// attached looks at what was opened: root makes a TAP that is not there by opening
// it. Such a one goes when its descriptor is closed.
func attached(m *settings.Machine) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := c.link(m.TAP)
	if err != nil {
		return err
	}
	if l == nil || judge(l, m) != keep || !l.opened() {
		return fault.TAPForeign.Temporary("%s: is not as it was made a moment ago (somebody else changes it)", m.TAP)
	}
	return nil
}
