package fit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// password writes root's into shadow(5), or, where there is none, into passwd(5).
func (d *fitting) password() error {
	r := d.f.Root
	if r == nil || r.Password == "" {
		return nil
	}
	for _, name := range []string{"etc/shadow", "etc/passwd"} {
		if !d.has(name) {
			continue
		}
		text, err := d.read(name)
		if err != nil {
			return err
		}
		text, err = setPassword(text, r.Password, r.Day, name == "etc/shadow")
		if err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
		if err := d.write(name, text, 0o600); err != nil {
			return err
		}
		if name == "etc/shadow" {
			return d.shadowed()
		}
		return nil
	}
	d.note("it has no /etc/passwd: no password was set")
	return nil
}

// shadowed: passwd(5) has to say that the password is in shadow(5).
func (d *fitting) shadowed() error {
	text, err := d.read("etc/passwd")
	if err != nil || text == "" {
		return err
	}
	text, err = setPassword(text, "x", 0, false)
	if err != nil {
		return fmt.Errorf("/etc/passwd: %w", err)
	}
	return d.write("etc/passwd", text, 0o644)
}

// setPassword gives root another second field. Only that one line changes, and of shadow(5) the
// day of the change with it: an old one might have expired.
func setPassword(text, hash string, day int, shadow bool) (string, error) {
	if strings.ContainsAny(hash, ":\n") {
		return "", errors.New("a password's hash has a colon in it")
	}
	all := lines(text)
	i := slices.IndexFunc(all, func(l string) bool { return strings.HasPrefix(l, "root:") })
	if i < 0 {
		if !shadow {
			return "", errors.New("has no line for root")
		}
		all = append([]string{fmt.Sprintf("root:%s:%d:0:99999:7:::", hash, day)}, all...)
		return unlines(all), nil
	}
	f := strings.Split(all[i], ":")
	f[1] = hash
	if shadow {
		for len(f) < 9 {
			f = append(f, "")
		}
		f[2], f[7] = strconv.Itoa(day), ""
	}
	all[i] = strings.Join(f, ":")
	return unlines(all), nil
}

// authorize adds root's keys, and has sshd let them in.
func (d *fitting) authorize() error {
	r := d.f.Root
	if r == nil || len(r.Keys) == 0 {
		return nil
	}
	home, err := d.home()
	if err != nil {
		return err
	}
	dir := path.Join(home, ".ssh")
	if kind, there := d.is(dir); there && kind != fs.ModeDir {
		if err := d.remove(dir); err != nil { // a link would lead sshd, which refuses it, elsewhere
			return err
		}
	}
	if err := d.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := d.own(dir, 0o700); err != nil {
		return err
	}
	file := path.Join(dir, "authorized_keys")
	text, err := d.read(file)
	if err != nil {
		return err
	}
	all := lines(text)
	for _, k := range r.Keys {
		if !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	if err := d.private(file, unlines(all)); err != nil {
		return err
	}
	return d.permitRoot()
}

// home is root's, as passwd(5) says.
func (d *fitting) home() (string, error) {
	text, err := d.read("etc/passwd")
	if err != nil {
		return "", err
	}
	for _, l := range lines(text) {
		if f := strings.Split(l, ":"); f[0] == "root" && len(f) == 7 {
			if h := strings.Trim(path.Clean(f[5]), "/"); h != "" && h != "." && fs.ValidPath(h) {
				return h, nil
			}
		}
	}
	return "root", nil
}
