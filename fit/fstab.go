package fit

import (
	"path"
	"slices"
	"strings"

	"uml/job"
)

// fstab has the root, the swap and the discs by the names that they have here.
func (d *fitting) fstab() error {
	if d.f.Mounts == nil {
		return nil
	}
	// Where the modules of the host's kernel are mounted, if it has any.
	modules := "lib/modules"
	if to, err := d.root.Readlink("lib"); err == nil {
		modules = path.Join(strings.TrimPrefix(to, "/"), "modules")
	}
	if d.isDir(path.Dir(modules)) {
		if err := d.root.MkdirAll(modules, 0o755); err != nil {
			return err
		}
	}
	old, err := d.read("etc/fstab")
	if err != nil {
		return err
	}
	return d.write("etc/fstab", setFstab(old, d.f.Mounts), 0o644)
}

// gone is before a line that names a device which this guest does not have: systemd would wait
// a minute and a half for it, and then start nothing.
const gone = "# not here: "

// setFstab rewrites fstab(5): root and swap are the machine's; another disc is the one of the same
// letter (paper 2.4: /dev/hdb becomes /dev/ubdb), if there is one. All else stays.
func setFstab(text string, m *job.Mounts) string {
	kind, options := "ext4", "defaults,errors=remount-ro"
	var rest []string
	for _, line := range lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || strings.HasPrefix(f[0], "#") || len(f) < 3:
			rest = append(rest, line)
		case f[1] == "/":
			if slices.Contains(filesystems, f[2]) {
				kind = f[2]
				options = "defaults"
				if strings.HasPrefix(kind, "ext") {
					options += ",errors=remount-ro"
				}
			}
		case f[2] == "swap" && isDevice(f[0]):
		case isDevice(f[0]):
			rest = append(rest, setDevice(line, f, m))
		default:
			rest = append(rest, line)
		}
	}
	var first []string
	if m.Root != "" {
		first = append(first, strings.Join([]string{m.Root, "/", kind, options, "0", "1"}, "\t"))
	}
	if m.Swap != "" {
		first = append(first, strings.Join([]string{m.Swap, "none", "swap", "sw", "0", "0"}, "\t"))
	}
	return unlines(slices.Concat(first, rest))
}

var filesystems = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"}

func setDevice(line string, f []string, m *job.Mounts) string {
	if slices.Contains(m.Discs, f[0]) {
		return line
	}
	if name, ok := strings.CutPrefix(f[0], "/dev/"); ok && len(name) == 3 && name[1] == 'd' && strings.ContainsRune("hsvx", rune(name[0])) {
		if here := "/dev/ubd" + name[2:]; slices.Contains(m.Discs, here) {
			return strings.Replace(line, f[0], here, 1)
		}
	}
	return gone + line
}

// isDevice says whether a mount's source is a block device of whatever name.
func isDevice(source string) bool {
	for _, p := range []string{"/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID="} {
		if strings.HasPrefix(strings.ToUpper(source[:min(len(source), len(p))]), strings.ToUpper(p)) {
			return source != "/dev/shm" && !strings.HasPrefix(source, "/dev/loop")
		}
	}
	return false
}
