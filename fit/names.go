package fit

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"uml/job"
)

// names: hostname(5), hosts(5), and what mail calls the guest.
func (d *fitting) names() error {
	if d.f.Name == "" {
		return nil
	}
	old, err := d.read("etc/hostname")
	if err != nil {
		return err
	}
	hosts, err := d.read("etc/hosts")
	if err != nil {
		return err
	}
	hosts = setHosts(hosts, strings.TrimSpace(old), d.f.Name, d.f.Network)
	if err := d.write("etc/hosts", hosts, 0o644); err != nil {
		return err
	}
	if err := d.write("etc/hostname", d.f.Name+"\n", 0o644); err != nil {
		return err
	}
	if d.has("etc/mailname") {
		if err := d.write("etc/mailname", d.f.Name+"\n", 0o644); err != nil {
			return err
		}
	}
	// OpenRC's, which comes before /etc/hostname where it is there.
	if d.has("etc/conf.d/hostname") {
		return d.write("etc/conf.d/hostname", fmt.Sprintf("hostname=%q\n", d.f.Name), 0o644)
	}
	return nil
}

// setHosts is hosts(5) with the guest's own line. Those of others stay; those that named the old
// host, or by Debian's custom stood for it, go.
func setHosts(text, old, name string, n *job.Network) string {
	if n == nil {
		return renameHosts(text, old, name)
	}
	addresses := own(n)
	var kept []string
	var four bool
	for _, line := range lines(text) {
		fields := strings.Fields(before(line, "#"))
		if len(fields) == 0 {
			kept = append(kept, line)
			continue
		}
		if fields[0] == "127.0.1.1" || slices.Contains(fields[1:], old) && old != "" && old != "localhost" ||
			slices.Contains(fields[1:], name) && name != "localhost" || slices.ContainsFunc(addresses, func(a netip.Addr) bool { return a.String() == fields[0] }) {
			continue
		}
		four = four || fields[0] == "127.0.0.1"
		kept = append(kept, line)
	}
	var first []string
	if !four {
		first = []string{"127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"}
	}
	var mine []string
	for _, a := range addresses {
		mine = append(mine, a.String()+"\t"+name)
	}
	if len(mine) == 0 {
		mine = []string{"127.0.1.1\t" + name}
	}
	return unlines(slices.Concat(mine, first, kept))
}

// renameHosts changes the name alone, where nothing is known of addresses.
func renameHosts(text, old, name string) string {
	all := lines(text)
	for i, line := range all {
		names, comment, _ := strings.Cut(line, "#")
		fields := strings.Fields(names)
		if old == "" || old == "localhost" || len(fields) < 2 || !slices.Contains(fields[1:], old) {
			continue
		}
		for j := range fields[1:] {
			if fields[1+j] == old {
				fields[1+j] = name
			}
		}
		all[i] = fields[0] + "\t" + strings.Join(fields[1:], " ")
		if comment != "" {
			all[i] += " #" + comment
		}
	}
	return unlines(all)
}

// own are the first address of each kind, by which the guest knows itself.
func own(n *job.Network) (all []netip.Addr) {
	if n == nil {
		return nil
	}
	for _, four := range []bool{true, false} {
		i := slices.IndexFunc(n.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() == four })
		if i >= 0 {
			all = append(all, n.Addresses[i].Addr())
		}
	}
	return all
}

func before(s, mark string) string {
	s, _, _ = strings.Cut(s, mark)
	return s
}

// resolve writes resolv.conf(5). A link to what a program in the guest writes is replaced, not
// followed: there is nothing behind it before that program runs.
func (d *fitting) resolve() error {
	if d.f.DNS == nil {
		return nil
	}
	var text strings.Builder
	if len(d.f.DNS.Search) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(d.f.DNS.Search, " "))
	}
	for _, s := range d.f.DNS.Servers {
		fmt.Fprintf(&text, "nameserver %s\n", s)
	}
	return d.write("etc/resolv.conf", text.String(), 0o644)
}
