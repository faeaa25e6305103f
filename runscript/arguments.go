package runscript

import (
	"fmt"
	"strings"

	"uml/fault"
	"uml/jail"
	"uml/kernel"
	"uml/settings"
)

const (
	kernelName = "linux"  // in the jail, whatever the image is called
	initrdName = "initrd" // likewise
	swapDevice = 15       // the last, so that no added disc moves it
	// maxLine is COMMAND_LINE_SIZE of arch/um/include/asm/setup.h with its NUL;
	// the kernel joins its arguments with spaces.
	maxLine = 4095
)

// arguments are the kernel's, made from the settings and nothing else, in an
// order that never changes. initrd says that one lies beside the kernel, tap is the
// descriptor of a TAP that is handed over.
func arguments(m *settings.Machine, discs []settings.Disc, image *kernel.Image, initrd bool, tap int) ([]string, error) {
	args := []string{kernelName, "mem=" + m.Mem.String(), "umid=" + m.Name, "uml_dir=/uml/"}
	for _, d := range discs {
		args = append(args, discArgument(d))
	}
	if m.Swap > 0 {
		args = append(args, fmt.Sprintf("ubd%dd=/swap", swapDevice))
	}
	if m.Net.Kind != settings.None {
		transport, err := image.Transport(m.Transport)
		if err != nil {
			return nil, err
		}
		args = append(args, netArgument(m, transport, tap))
	}
	if m.Initrd != "" && !image.Initrd {
		return nil, fault.InitrdBad.Permanent("takes no initrd=, and settings/initrd is %s (a kernel with CONFIG_BLK_DEV_INITRD does)", m.Initrd)
	}
	if m.Initrd != "" || initrd && image.Initrd {
		args = append(args, "initrd=/"+initrdName)
	}
	if m.Root != "" {
		args = append(args, "root="+m.Root)
	}
	args = append(args, channelArguments(m.Channels)...)
	if image.NoReboot {
		args = append(args, "noreboot")
	}
	// A guest's processes under seccomp can read and write all of the guest's
	// memory: only for a guest that trusts them, by its own word.
	if image.Seccomp && m.GuestSeccomp() == "" {
		args = append(args, "seccomp=off")
	}
	args = append(args, m.Args...)
	if n := len(strings.Join(args, " ")); n > maxLine {
		return nil, fault.SettingBad.Permanent("the kernel's arguments are %d bytes, it takes %d (shorten settings/args)", n, maxLine)
	}
	return args, nil
}

func channelArguments(channels []settings.Channel) (args []string) {
	terminals := 0
	for _, c := range channels {
		value := c.Value
		if c.Terminal() {
			value = fmt.Sprintf("fd:%d", jail.Slave(terminals))
			terminals++
		}
		args = append(args, c.Device+"="+value)
	}
	return args
}

// discArgument: a raw disc always has the flag d. Without it a guest could write
// the header of a COW file into its first sector, and would at the next start
// read whatever file of the jail that names.
func discArgument(d settings.Disc) string {
	flags := ""
	for _, f := range []struct {
		set    bool
		letter string
	}{{d.ReadOnly, "r"}, {d.Sync, "s"}, {d.NoTrim, "t"}, {d.Backing == "", "d"}} {
		if f.set {
			flags += f.letter
		}
	}
	arg := fmt.Sprintf("ubd%d%s=%s", d.N, flags, inJail(d.File))
	if d.Backing != "" {
		arg += "," + inJail(d.Backing)
	}
	return arg
}

// inJail is the path of a disc in the jail: what lies in the jail on the host
// lies at the root there, what lies elsewhere keeps its place.
func inJail(file string) string { return "/" + strings.TrimPrefix(file, "/") }

// netArgument: gro=1 makes the driver's buffers large enough for what it asks the
// host for, frames of up to 64 KB; without it they are cut off, and a stream to
// the guest crawls ("Incoming GSO frames and GRO disabled"). A TAP is no socket, so
// that one as a descriptor cannot be read by recvmmsg(2): vec=0.
func netArgument(m *settings.Machine, t settings.Transport, tap int) string {
	switch t {
	case settings.Tuntap:
		return fmt.Sprintf("eth0=tuntap,%s,%s", m.TAP, m.MAC)
	case settings.FD:
		return fmt.Sprintf("vec0:transport=fd,fd=%d,vec=0,mac=%s", tap, m.MAC)
	}
	return fmt.Sprintf("vec0:transport=tap,ifname=%s,gro=1,mac=%s", m.TAP, m.MAC)
}
