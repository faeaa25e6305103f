package runscript

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/jail"
	"uml/kernel"
	"uml/mconsole"
	"uml/netsetup"
	"uml/settings"
)

// A device of a guest that runs is opened, checked and locked as at the start.

// network is the device of the machine's network, as attach and detach name it.
const network = "net"

// Attach gives a guest that runs a device: a disc by its name, ubd3, as value says or
// the settings if that is empty; or its network, net. With keep the disc is set too.
func Attach(ctx context.Context, o Options, device, value string, keep bool) error {
	value = strings.Join(strings.Fields(value), " ")
	return withGuest(ctx, o, func(s *start, c *mconsole.Client, pid int) error {
		if device == network {
			if value != "" || keep {
				return fault.Usage.Permanent("net: is what the settings say")
			}
			return s.attachNetwork(ctx, c, pid)
		}
		d, err := s.m.Disc(device, value)
		if err != nil {
			return err
		}
		if err := s.attachDisc(ctx, c, pid, d); err != nil || !keep || value == "" {
			return err
		}
		return settings.Write(s.dir, device, value)
	})
}

// Detach takes a device away. With keep the machine is set to have none.
func Detach(ctx context.Context, o Options, device string, keep bool) error {
	return withGuest(ctx, o, func(s *start, c *mconsole.Client, pid int) error {
		if device == network {
			if keep {
				return fault.Usage.Permanent("net: is what the settings say")
			}
			return s.detachNetwork(ctx, c)
		}
		if _, err := s.m.Disc(device, ""); err != nil && !errors.Is(err, settings.ErrNoDisc) {
			return err
		}
		err := s.detachDisc(ctx, c, device)
		if err != nil || !keep {
			return err
		}
		return settings.Write(s.dir, device, "")
	})
}

// busy says what the guest has to do about what it uses.
func busy(err error, device, mend string) error {
	if refusal := (*mconsole.Refusal)(nil); errors.As(err, &refusal) {
		return fault.GuestRefuses.Temporary("%s: the guest does not let go of it (in the guest: %s): %w", device, mend, err)
	}
	return err
}

// withGuest does something about a guest that runs, with its settings as they are now.
func withGuest(ctx context.Context, o Options, do func(*start, *mconsole.Client, int) error) error {
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.checkOwner(); err != nil {
		return err
	}
	c, pid, err := dial(s.dir)
	if err != nil {
		return err
	}
	defer c.Close()
	change, err := reserve(ctx, c, s.m.Name)
	if err != nil {
		return err
	}
	defer change.Close()
	return do(s, c, pid)
}

// reserve waits until nobody else changes the guest: who asks what a device is and
// then gives it would else have his files changed under the kernel.
func reserve(ctx context.Context, c *mconsole.Client, name string) (*os.File, error) {
	f, err := jail.Reserve(c.Process())
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) && sleep(ctx, 20*time.Millisecond) != nil {
			err = fault.Busy.Temporary("%s: another attach, detach or memory is under way", name)
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, err
		}
	}
}

// attachNetwork makes the TAP, if it is not there, and has the kernel open it. So a
// guest whose TAP was taken away under it is mended without a new start.
func (s *start) attachNetwork(ctx context.Context, c *mconsole.Client, pid int) error {
	if s.m.Net.Kind == settings.None {
		return fault.Permanent("%s: its settings name no network", s.m.Name)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/dev/net/tun", pid)); err != nil || s.m.HandsOver() { // /dev there is ours
		return fault.Permanent("%s: the kernel that runs cannot open a TAP: it was started without a network or with transport fd (restart it)", s.m.Name)
	}
	transport, err := s.transport()
	if err != nil {
		return err
	}
	news, err := netsetup.Up(ctx, s.m, s.host)
	if err != nil {
		return err
	}
	s.announce(news).Leave()
	err = c.Configure(ctx, netArgument(s.m, transport, 0))
	if refusal := (*mconsole.Refusal)(nil); errors.As(err, &refusal) && strings.Contains(err.Error(), "already") {
		return fault.AlreadyThere.Permanent("%s: the guest has it already (try: uml-ctl detach %s net): %w", network, s.m.Name, err)
	}
	return err
}

func (s *start) transport() (settings.Transport, error) {
	in, err := s.openJail()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	f, err := s.openFile(in, s.m.Kernel)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r, err := f.Reopen(unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	image, err := kernel.Inspect(r)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.Path, err)
	}
	return image.Transport(s.m.Transport)
}

func (s *start) detachNetwork(ctx context.Context, c *mconsole.Client) error {
	transport, err := s.transport()
	if err != nil {
		return err
	}
	device := "vec0"
	if transport == settings.Tuntap {
		device = "eth0"
	}
	return busy(c.Remove(ctx, device), device, "ip link set "+device+" down")
}
