package fit

import (
	"fmt"
	"slices"
	"strings"
)

// terminals has somebody at each of the guest's consoles that lead anywhere, and at no other:
// a getty whose console is null ends at once, and is started again for ever.
func (d *fitting) terminals() error {
	if d.f.Terminals == nil {
		return nil
	}
	want := *d.f.Terminals
	if err := d.securetty(want); err != nil {
		return err
	}
	if d.did.Init == "systemd" {
		return d.units(want)
	}
	text, err := d.read("etc/inittab")
	if err != nil {
		return err
	}
	if text == "" && d.did.Init != "busybox" {
		if d.has("etc/init.d/agetty") {
			return d.agetty(want)
		}
		d.note("no inittab and no systemd was found in it: what runs at its consoles is as it was")
		return nil
	}
	return d.write("etc/inittab", setInittab(text, want), 0o644)
}

// units: systemd starts by itself a getty at tty1 alone (getty.target), and the others when
// somebody switches to them, which nobody can.
func (d *fitting) units(want []string) error {
	const dir = "etc/systemd/system/getty.target.wants"
	names, err := d.tree.names(dir, maxNames)
	if err != nil {
		return err
	}
	for _, n := range names {
		tty, ok := strings.CutPrefix(strings.TrimSuffix(n, ".service"), "getty@")
		if !ok {
			tty, ok = strings.CutPrefix(strings.TrimSuffix(n, ".service"), "serial-getty@")
		}
		if ok && !slices.Contains(want, tty) {
			if err := d.remove(dir + "/" + n); err != nil {
				return err
			}
		}
	}
	lib := "/lib/systemd/system/"
	if d.has("usr/lib/systemd/system") {
		lib = "/usr" + lib
	}
	for _, tty := range want {
		kind := "getty@"
		if strings.HasPrefix(tty, "ttyS") {
			kind = "serial-getty@"
		}
		if err := d.link(lib+kind+".service", dir+"/"+kind+tty+".service"); err != nil {
			return err
		}
	}
	return nil
}

// agetty is OpenRC without an inittab: a service for each terminal.
func (d *fitting) agetty(want []string) error {
	const dir = "etc/runlevels/default"
	names, err := d.tree.names(dir, maxNames)
	if err != nil {
		return err
	}
	for _, n := range names {
		if tty, ok := strings.CutPrefix(n, "agetty."); ok && !slices.Contains(want, tty) {
			if err := d.remove(dir + "/" + n); err != nil {
				return err
			}
		}
	}
	for _, tty := range want {
		if err := d.link("agetty", "etc/init.d/agetty."+tty); err != nil {
			return err
		}
		if err := d.link("/etc/init.d/agetty."+tty, dir+"/agetty."+tty); err != nil {
			return err
		}
	}
	return nil
}

// securetty: where the file is there, root can log in only at what stands in it.
func (d *fitting) securetty(want []string) error {
	text, err := d.read("etc/securetty")
	if err != nil || text == "" {
		return err
	}
	all := lines(text)
	for _, tty := range want {
		if !slices.Contains(all, tty) {
			all = append(all, tty)
		}
	}
	return d.write("etc/securetty", unlines(all), 0o644)
}

// off is before a line of inittab for a terminal that leads nowhere.
const off = "#off# "

// setInittab edits inittab(5), sysvinit's or busybox's. In the one a line's first field is a name
// of any kind and its second are runlevels; in the other the first is the terminal, and there are
// no runlevels: a line of "initdefault" is sysvinit's alone.
func setInittab(text string, want []string) string {
	sysv := strings.Contains(text, ":initdefault:")
	var out []string
	have := map[string]bool{}
	for _, line := range lines(text) {
		plain := strings.TrimPrefix(line, off)
		tty := terminalOf(plain, sysv)
		switch {
		case tty == "":
			out = append(out, line)
		case !slices.Contains(want, tty) || have[tty]:
			out = append(out, off+plain)
		default:
			have[tty] = true
			out = append(out, plain)
		}
	}
	if text == "" {
		out = []string{"::sysinit:/etc/init.d/rcS", "::ctrlaltdel:/sbin/reboot", "::shutdown:/bin/umount -a -r"} // busybox's own default, but for the consoles
	}
	for _, tty := range want {
		if have[tty] {
			continue
		}
		if sysv {
			out = append(out, fmt.Sprintf("%s:2345:respawn:/sbin/getty 38400 %s", id(tty), tty))
		} else {
			out = append(out, fmt.Sprintf("%s::respawn:/sbin/getty 38400 %s", tty, tty))
		}
	}
	return unlines(out)
}

// id is a line's name, of which sysvinit takes four bytes.
func id(tty string) string {
	s := strings.TrimPrefix(tty, "tty")
	return s[max(0, len(s)-4):]
}

// terminalOf is the terminal that a line of inittab runs something at again and again; "" for
// any other line.
func terminalOf(line string, sysv bool) string {
	f := strings.SplitN(line, ":", 4)
	if len(f) < 4 || strings.HasPrefix(strings.TrimSpace(line), "#") {
		return ""
	}
	if a := strings.TrimSpace(f[2]); a != "respawn" && a != "askfirst" {
		return ""
	}
	if !sysv {
		if tty := strings.TrimSpace(f[0]); isTerminal(tty) {
			return tty
		}
	}
	words := strings.Fields(f[3])
	if len(words) == 0 || !strings.Contains(words[0], "getty") {
		return ""
	}
	for _, w := range words[1:] {
		if w = strings.TrimPrefix(w, "/dev/"); isTerminal(w) {
			return w
		}
	}
	return ""
}

// isTerminal says whether it is one of the names that guests' consoles and lines can have, or
// that of hardware which no guest has.
func isTerminal(s string) bool {
	for _, p := range []string{"ttyS", "ttyAMA", "ttyUSB", "hvc", "tty"} {
		if n, ok := strings.CutPrefix(s, p); ok {
			return n != "" && strings.Trim(n, "0123456789") == ""
		}
	}
	return false
}

// runOnce has busybox's init run a program when all of sysinit is through.
func runOnce(inittab, program string) string {
	line := "::wait:" + program
	all := lines(inittab)
	if inittab == "" {
		all = lines(setInittab("", nil))
	}
	if !slices.Contains(all, line) {
		all = append(all, line)
	}
	return unlines(all)
}
