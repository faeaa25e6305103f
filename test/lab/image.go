package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Port of the guest's shell: it runs what it is sent. A guest of a lab has no secrets.
const shellPort = "7"

// inittab is read by busybox's init (busybox's /etc/inittab has no runlevels).
const inittab = `::sysinit:/etc/rc
::respawn:/bin/nc -ll -p ` + shellPort + ` -e /bin/sh
tty1::respawn:/bin/sh -l
::ctrlaltdel:/bin/halt
::shutdown:/bin/umount -a -r
`

// rc knows its own addresses and nothing of the host: not even a gateway. The
// name of the device is all that the kernel's two network drivers differ in.
const rc = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -o remount,rw /
insmod /lib/crc-ccitt.ko
insmod /lib/ipv6.ko
ip link set lo up
for dev in eth0 vec0; do
	[ -e /sys/class/net/$dev ] || continue
	ip link set $dev up
	while read address; do
		ip addr add $address dev $dev
	done </etc/addresses
	ip route add default dev $dev
done
[ ! -x /etc/local ] || /etc/local &
echo guest up
`

// makeImage makes a guest's root filesystem of 24 MB, most of it a hole. It takes
// about 50 ms, and no mount. Blocks of 4096 bytes keep copy-on-write discs right.
func (l *Lab) makeImage(file string, addresses []netip.Prefix) error {
	l.guest.Lock()
	defer l.guest.Unlock()
	tree := filepath.Join(l.Dir, "guest")
	if _, err := os.Stat(tree); err != nil {
		if err := guestTree(tree); err != nil {
			return err
		}
	}
	var lines strings.Builder
	for _, a := range addresses {
		fmt.Fprintln(&lines, a)
	}
	if err := os.WriteFile(filepath.Join(tree, "etc/addresses"), []byte(lines.String()), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(file, 24<<20); err != nil {
		return err
	}
	return command("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "root_owner=0:0", "-d", tree, file)
}

func guestTree(tree string) error {
	for _, d := range []string{"bin", "sbin", "etc", "dev", "proc", "sys", "tmp", "root", "lib"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"inittab": inittab, "rc": rc} {
		if err := os.WriteFile(filepath.Join(tree, "etc", name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mknod(filepath.Join(tree, "dev/console"), unix.S_IFCHR|0o600, int(unix.Mkdev(5, 1))); err != nil {
		return err
	}
	return errors.Join(busybox(tree), modules(tree))
}

func busybox(tree string) error {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	if err := copyFile(path, filepath.Join(tree, "bin/busybox"), 0o755); err != nil {
		return err
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		return err
	}
	for _, name := range append(strings.Fields(string(applets)), "../sbin/init") {
		err := os.Symlink("/bin/busybox", filepath.Join(tree, "bin", name))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// modules brings IPv6, which Debian's guest kernel has as a module.
func modules(tree string) error {
	for _, name := range []string{"lib/crc/crc-ccitt.ko", "lib/crc-ccitt.ko", "net/ipv6/ipv6.ko"} {
		found, err := filepath.Glob("/usr/lib/uml/modules/*/kernel/" + name)
		if err != nil {
			return err
		}
		for _, f := range found {
			if err := copyFile(f, filepath.Join(tree, "lib", filepath.Base(f)), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string, mode os.FileMode) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, mode)
}

func command(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", args[0], err, errs.String())
	}
	return nil
}
