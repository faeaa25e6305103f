package fit

import (
	"io/fs"
	"slices"
	"strings"
)

// hostKeys gives sshd keys of its own, of the kinds that it had; of one that had none, the one
// that every client knows.
func (d *fitting) hostKeys() error {
	if d.f.Fresh == nil {
		return nil
	}
	names, err := d.tree.names("etc/ssh", maxNames)
	if err != nil {
		return err
	}
	had := map[string]bool{}
	for _, n := range names {
		kind, ok := strings.CutPrefix(n, "ssh_host_")
		if !ok {
			continue
		}
		if k, ok := strings.CutSuffix(kind, "_key"); ok {
			had[k] = true
		}
		if err := d.remove("etc/ssh/" + n); err != nil {
			return err
		}
	}
	if !d.program("sshd") && len(had) == 0 {
		return d.dropbear()
	}
	if len(had) == 0 {
		had["ed25519"] = true
	}
	for _, k := range d.f.Fresh.HostKeys {
		if !had[k.Kind] {
			continue
		}
		file := "etc/ssh/ssh_host_" + k.Kind + "_key"
		if err := d.private(file, k.Private); err != nil {
			return err
		}
		if err := d.write(file+".pub", k.Public+"\n", 0o644); err != nil {
			return err
		}
		d.did.HostKeys = append(d.did.HostKeys, k.Kind)
	}
	return d.dropbear()
}

// dropbear makes keys that are not there when it is first asked for one (dropbear -R).
func (d *fitting) dropbear() error {
	const dir = "etc/dropbear"
	names, err := d.tree.names(dir, maxNames)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, "dropbear_") && strings.HasSuffix(n, "_host_key") {
			if err := d.remove(dir + "/" + n); err != nil {
				return err
			}
		}
	}
	return nil
}

// permitRoot has sshd let root in by key, where its configuration would not. Of a keyword's
// values the first one counts (sshd_config(5)).
func (d *fitting) permitRoot() error {
	const file, dir = "etc/ssh/sshd_config", "etc/ssh/sshd_config.d"
	text, err := d.read(file)
	if err != nil || text == "" {
		return err
	}
	names, err := d.tree.names(dir, maxNames)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		if kind, _ := d.is(dir + "/" + n); kind != fs.FileMode(0) || !strings.HasSuffix(n, ".conf") {
			continue
		}
		part, err := d.read(dir + "/" + n)
		if err != nil {
			return err
		}
		if err := d.write(dir+"/"+n, letRoot(part), 0o644); err != nil {
			return err
		}
	}
	return d.write(file, letRoot(text), 0o644)
}

// letRoot changes what keeps root's keys out, before the first Match, and nothing else.
func letRoot(text string) string {
	all := lines(text)
	for i, line := range all {
		word, value := keyword(line)
		switch {
		case word == "match":
			return unlines(all)
		case word == "permitrootlogin" && (value == "no" || value == "forced-commands-only"):
			all[i] = "PermitRootLogin prohibit-password"
		case word == "pubkeyauthentication" && value == "no":
			all[i] = "PubkeyAuthentication yes"
		}
	}
	return unlines(all)
}

// keyword takes a line of sshd_config apart, in small letters; a comment has none.
func keyword(line string) (word, value string) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return "", ""
	}
	word, value = line, ""
	if i := strings.IndexAny(line, " \t="); i >= 0 {
		word, value = line[:i], strings.Trim(line[i:], " \t=")
	}
	value, _, _ = strings.Cut(value, " ")
	return strings.ToLower(word), strings.ToLower(strings.Trim(value, `"`))
}
