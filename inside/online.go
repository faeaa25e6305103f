package inside

import (
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// online gives the guest its address: the host answers for all others on the link.
func online(address netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := up(fd, "lo", netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8); err != nil {
		return err
	}
	for _, device := range []string{"vec0", "eth0"} { // of the new driver and of the old one
		if _, err := unix.NewIfreq(device); err != nil {
			return err
		}
		if !hasDevice(fd, device) {
			continue
		}
		if err := up(fd, device, address, 32); err != nil {
			return err
		}
		return defaultRoute(fd, device)
	}
	return fault.Permanent("the guest's kernel has no network device")
}

func hasDevice(fd int, device string) bool {
	r, err := unix.NewIfreq(device)
	return err == nil && unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r) == nil
}

func up(fd int, device string, address netip.Addr, bits int) error {
	for _, step := range []struct {
		request uint
		fill    func(*unix.Ifreq) error
	}{
		{unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address.AsSlice()) }},
		{unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error {
			mask := netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), bits).Masked().Addr()
			return r.SetInet4Addr(mask.AsSlice())
		}},
		{unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	} {
		r, err := unix.NewIfreq(device)
		if err == nil {
			err = step.fill(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(fd, step.request, r)
		}
		if err != nil {
			return &os.PathError{Op: "configure", Path: device, Err: err}
		}
	}
	return nil
}

// A routeEntry is struct rtentry of include/uapi/linux/route.h, on 64 bits.
type routeEntry struct {
	_                 uint64
	dst, gateway, net unix.RawSockaddrInet4
	flags             uint16
	_                 [3]uint16
	_                 [2]uint64
	metric            int16
	_                 [3]uint16
	device            *byte
	mtu, window       uint64
	irtt              uint16
}

func defaultRoute(fd int, device string) error {
	name, err := unix.BytePtrFromString(device)
	if err != nil {
		return err
	}
	r := routeEntry{flags: unix.RTF_UP, device: name}
	r.dst.Family, r.gateway.Family, r.net.Family = unix.AF_INET, unix.AF_INET, unix.AF_INET
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCADDRT, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return &os.PathError{Op: "route by", Path: device, Err: errno}
	}
	return nil
}
