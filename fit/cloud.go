package fit

import (
	"fmt"
	"path"
	"strings"
)

// cloud writes a NoCloud seed, so that a template for clouds finds there what it asks for, and
// waits for no other source. Everything is done here already: cloud-init is told to leave it
// alone, and to let root in by his keys.
func (d *fitting) cloud() error {
	if d.f.Fresh == nil || !d.isDir("etc/cloud") || !d.program("cloud-init") {
		return nil
	}
	const seed = "var/lib/cloud/seed/nocloud/"
	name := d.f.Name
	if name == "" {
		name = "guest"
	}
	for _, f := range []struct{ name, text string }{
		{seed + "meta-data", fmt.Sprintf("instance-id: %s-%.12s\nlocal-hostname: %s\n", name, d.f.Fresh.MachineID, name)},
		{seed + "user-data", d.userData()},
		{"etc/cloud/cloud.cfg.d/99-uml.cfg", ours + "datasource_list: [ NoCloud, None ]\nnetwork: { config: disabled }\n"},
	} {
		if err := d.write(f.name, f.text, 0o600); err != nil {
			return err
		}
	}
	for _, name := range []string{"instance", "instances", "data", "sem"} { // those of the one that was copied
		if err := d.root.RemoveAll(path.Join("var/lib/cloud", name)); err != nil {
			return err
		}
	}
	d.did.Cloud = true
	return nil
}

func (d *fitting) userData() string {
	var b strings.Builder
	b.WriteString("#cloud-config\nssh_deletekeys: false\nssh_genkeytypes: [ed25519]\nlocale: false\ndisable_root: false\npreserve_hostname: true\nmanage_etc_hosts: false\nmanage_resolv_conf: false\n")
	if d.f.Root != nil && len(d.f.Root.Keys) > 0 {
		b.WriteString("users:\n  - default\n  - name: root\n    lock_passwd: false\n    ssh_authorized_keys:\n")
		for _, k := range d.f.Root.Keys {
			fmt.Fprintf(&b, "      - %q\n", k)
		}
	}
	return b.String()
}
