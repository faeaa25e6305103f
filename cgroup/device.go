package cgroup

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/handle"
)

// A Device is a whole disc of the host, "8:0": the controller knows no partitions.
type Device string

// devices are the whole discs that files with these st_dev lie on. What has none (tmpfs,
// btrfs, a network's filesystem) is counted in other.
func devices(sys string, of []uint64) (all []Device, other int) {
	for _, dev := range of {
		d := whole(fmt.Sprintf("%s/dev/block/%d:%d", sys, unix.Major(dev), unix.Minor(dev)))
		if d == "" {
			other++
		} else if !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all, other
}

// whole is the device that a link of sysfs leads to, or that which it is a part of. /sys/dev/block/8:1
// leads to .../block/sda/sda1, where a partition has a file of that name, and sda/dev is "8:0".
func whole(link string) Device {
	at, err := filepath.EvalSymlinks(link)
	if err != nil {
		return ""
	}
	if _, err := os.Lstat(path.Join(at, "partition")); err == nil {
		at = path.Dir(at)
	}
	text, err := handle.ReadProc(path.Join(at, "dev"))
	if err != nil {
		return ""
	}
	return Device(strings.TrimSpace(string(text)))
}

// weightless are the discs below d, or d itself, on which nothing heeds weights: neither the
// scheduler bfq nor the controller's own model of costs, which the root group has the switch of.
// What is stacked (LVM, md, dm-crypt) hands its requests on without a scheduler, in the groups
// that they came from, so its discs count.
func weightless(sys, at string, d Device) (all []Device) {
	if weighs(sys, at, d) {
		return nil
	}
	slaves := path.Join(sys, "dev/block", string(d), "slaves")
	below, _ := os.ReadDir(slaves)
	for _, b := range below {
		if disc := whole(path.Join(slaves, b.Name())); disc != "" {
			all = append(all, weightless(sys, at, disc)...)
		}
	}
	if len(below) == 0 {
		all = []Device{d}
	}
	return all
}

func weighs(sys, at string, d Device) bool {
	text, err := handle.ReadProc(path.Join(sys, "dev/block", string(d), "queue/scheduler"))
	if err == nil && strings.Contains(string(text), "[bfq]") {
		return true
	}
	text, _ = handle.ReadProc(path.Join(at, "io.cost.qos"))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == string(d) && slices.Contains(f, "enable=1") {
			return true
		}
	}
	return false
}
