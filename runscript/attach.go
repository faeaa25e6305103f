package runscript

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
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
				return fault.Permanent("net: is what the settings say")
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
				return fault.Permanent("net: is what the settings say")
			}
			return s.detachNetwork(ctx, c)
		}
		if _, err := s.m.Disc(device, ""); err != nil && !errors.Is(err, settings.ErrNoDisc) {
			return err
		}
		err := s.detachDisc(ctx, c, device)
		if errors.Is(err, errNoDisc) && keep {
			err = nil // it is as wanted already
		}
		if err != nil || !keep {
			return err
		}
		return settings.Write(s.dir, device, "")
	})
}

var errNoDisc = errors.New("the guest has no such disc")

func (s *start) detachDisc(ctx context.Context, c *mconsole.Client, device string) error {
	is, err := c.Config(ctx, device)
	if err != nil {
		return err
	}
	if strings.TrimSpace(is) == "" { // what a detach that was interrupted has left goes all the same
		return errors.Join(fault.Permanent("%s: %s: %w", s.m.Name, device, errNoDisc), letGo(c, device))
	}
	if err := busy(c.Remove(ctx, device), device, "umount it, or swapoff"); err != nil {
		return err
	}
	return letGo(c, device)
}

// letGo takes from the kernel what it was given of a disc that it does not have open.
func letGo(c *mconsole.Client, disc string) error {
	return errors.Join(jail.Withdraw(c.Process(), disc, backing(disc)), jail.LetGo(c.Process(), disc))
}

func backing(disc string) string { return disc + ".backing" }

// busy says what the guest has to do about what it uses.
func busy(err error, device, mend string) error {
	if refusal := (*mconsole.Refusal)(nil); errors.As(err, &refusal) {
		return fault.Temporary("%s: the guest does not let go of it (in the guest: %s): %w", device, mend, err)
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
	if err := errors.Join(s.m.Unbuilt(), s.checkOwner()); err != nil {
		return err
	}
	c, pid, err := dial(s.dir)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(s, c, pid)
}

func (s *start) attachDisc(ctx context.Context, c *mconsole.Client, pid int, d settings.Disc) error {
	device := fmt.Sprintf("ubd%d", d.N)
	is, err := c.Config(ctx, device)
	if err != nil {
		return err
	}
	if is = strings.TrimSpace(is); is != "" {
		return fault.Permanent("%s: is %s already (try: uml-ctl detach %s %s)", device, fault.Line(is), s.m.Name, device)
	}
	s.makeRoom()
	in, err := s.openJail()
	if err != nil {
		return err
	}
	defer in.Close()
	names, err := s.bringNew(in, pid, &d)
	if err != nil {
		return err
	}
	if err := s.room.Extend(c.Process(), names); err != nil {
		return errors.Join(err, jail.Withdraw(c.Process(), names...))
	}
	err = jail.Hold(c.Process(), device, s.keep)
	if err == nil {
		err = c.Configure(ctx, discArgument(d))
	}
	if err != nil {
		return errors.Join(err, letGo(c, device))
	}
	return nil
}

// bringNew opens and judges the disc's files. One that the jail has from the start
// stays where it is there, with the lock that the kernel has on it; names are those of
// the others in the annex.
func (s *start) bringNew(in *handle.Dir, pid int, d *settings.Disc) (names []string, err error) {
	device, opened := fmt.Sprintf("ubd%d", d.N), files{}
	for _, f := range []struct {
		file     *string
		name     string
		readOnly bool
	}{{&d.File, device, d.ReadOnly}, {&d.Backing, backing(device), true}} {
		if *f.file == "" {
			continue
		}
		there, err := s.inJailAlready(in, pid, *f.file)
		if err != nil {
			return nil, err
		}
		if there {
			continue
		}
		if err := s.bringDisc(in, *f.file, f.readOnly, opened); err != nil {
			return nil, err
		}
		names = append(names, f.name)
		*f.file = jail.Annex + "/" + f.name
	}
	return names, nil
}

func (s *start) inJailAlready(in *handle.Dir, pid int, file string) (bool, error) {
	f, err := s.openFile(in, file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	root, err := handle.OpenDir(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return false, err
	}
	defer root.Close()
	there, err := root.Open(strings.TrimPrefix(file, "/"))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer there.Close()
	return f.Same(&there.Stat), nil
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
		return fault.Permanent("%s: the guest has it already (try: uml-ctl detach %s net): %w", network, s.m.Name, err)
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
