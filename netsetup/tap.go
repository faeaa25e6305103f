package netsetup

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

const (
	aliasMark = "uml "
	maxAlias  = 255 // IFALIASZ - 1
)

// Alias marks a TAP as the machine's own: whoever lists interfaces reads there
// which machine it is. A path that is too long keeps its end, behind a hash of
// the whole.
func Alias(m *settings.Machine) string {
	a := aliasMark + m.Real
	if len(a) <= maxAlias {
		return a
	}
	h := fmt.Sprintf("%s%x...", aliasMark, sha256.Sum256([]byte(m.Real)))
	return h + m.Real[len(m.Real)-(maxAlias-len(h)):]
}

// MachineOf is the machine directory that an alias names; "" if it holds only the
// path's end.
func MachineOf(alias string) string {
	dir := strings.TrimPrefix(alias, aliasMark)
	if !strings.HasPrefix(dir, "/") {
		return ""
	}
	return dir
}

func marked(l *link) bool { return strings.HasPrefix(l.Alias, aliasMark) }

// The kernel (5.5) keeps other names unique, so that one look-up of such a name
// finds the TAP that serves this machine whatever its settings called it before,
// and the one that serves an account, among any number.
func machineName(m *settings.Machine) string {
	h := sha256.Sum256([]byte(m.Real))
	return fmt.Sprintf("uml-dir-%x", h[:8])
}

func userName(m *settings.Machine) string { return fmt.Sprintf("uml-uid-%d", m.User.UID) }

// makeTAP is done by hand, since the library always sets a group, and a user who
// is not in that group is then refused. Persistence comes last: an interrupted
// making leaves nothing, or a whole TAP. Whoever opens it later chooses anew
// whether frames carry a vnet header, but has to want as many queues: one.
func makeTAP(name string, uid int) error {
	fd, err := openTUN(unix.O_RDWR)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := setIFF(fd, name, unix.IFF_TAP|unix.IFF_TUN_EXCL); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOWNER, uid); err != nil {
		return err
	}
	return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
}

func openTUN(access int) (int, error) {
	fd, err := unix.Open("/dev/net/tun", access|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return -1, fault.HostNoTun.Permanent("%w (modprobe tun)", &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err})
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	return fd, nil
}

func setIFF(fd int, name string, flags uint16) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_NO_PI | flags)
	return unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
}

// A verdict is what to do with an interface that has the TAP's name.
type verdict int

const (
	foreign verdict = iota // not ours: never touched
	keep                   // ours, as it must be
	adopt                  // made for this user by hand (paper 2.2.3), or by a run that ended before it marked it
	remake                 // ours, for another user or in another way: no ioctl can take a group away
)

func judge(l *link, m *settings.Machine) verdict {
	fits := l.Owner == m.User.UID && l.Group < 0 && l.Persist && !l.MultiQueue
	switch {
	case !l.TAP || l.Alias != "" && l.Alias != Alias(m):
		return foreign
	case l.Alias == Alias(m) && fits:
		return keep
	case l.Alias == Alias(m):
		return remake
	case fits:
		return adopt
	}
	return foreign
}

// refuse is the fault of a start that finds a foreign interface under its TAP's
// name.
func refuse(l *link) error {
	if marked(l) {
		return fault.TAPForeign.Permanent("%v: not this machine's (uml-net down it there, or choose another name in settings/tap)", l)
	}
	if l.TAP && l.Alias != "" {
		return fault.TAPForeign.Permanent("%s is %s with the alias %q, not this machine's (choose another name in settings/tap)", l.Name, l.kind(), l.Alias)
	}
	return fault.TAPForeign.Permanent("%s is %s, not this machine's TAP (choose another name in settings/tap, or: ip link del dev %s)", l.Name, l.kind(), l.Name)
}
