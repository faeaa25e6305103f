package builder

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"uml/fault"
	"uml/job"
	"uml/sparse"
	"uml/template"
)

// A Refresh brings a template's packages up to date.
type Refresh struct {
	Name   string   // the newest of it, or NAME@STAMP
	IP4    []string // of the guest that does it: one
	DNS    []string // who resolves names for it
	Resolv string   // or those of this resolv.conf(5)
}

// memory is what apt needs for all packages of Debian, and some more.
const memory = 384 << 20

// updateLimit is long for a slow mirror.
const updateLimit = 2 * time.Hour

// Update makes a newer template of one, nil if nothing in it is out of date.
func Update(ctx context.Context, o Options, r Refresh) (*template.Template, error) {
	name, _, err := template.ParseName(r.Name)
	if err != nil {
		return nil, err
	}
	upgrade, err := r.upgrade()
	if err != nil {
		return nil, err
	}
	s, err := o.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	old, err := s.store.Find(r.Name)
	if err != nil {
		return nil, err
	}
	if old.Manager != "dpkg" && old.Manager != "apk" {
		return nil, fault.Permanent("%s: its packages are of %q: it is not known how these are brought up to date", old.Full(), old.Manager)
	}
	if err := s.clone(ctx, old); err != nil {
		return nil, s.failed(err)
	}
	s.Say("bringing the packages of " + old.Full() + " up to date in a guest")
	a := s.appliance(map[string]string{"ubd0": "ubd0", "net": "routed", "ip4": upgrade.Address.String()})
	a.Mem, a.Limit = memory, updateLimit
	same := false
	t, err := s.finish(ctx, a, job.Job{Root: "/dev/ubda", Scratch: true, Upgrade: upgrade, Look: true},
		template.Manifest{Name: name, Source: old.Source, From: old.Full()}, func(f *job.Facts) error {
			same = slices.Equal(f.Packages, old.Packages)
			if same {
				return fault.Permanent("nothing to do")
			}
			return nil
		})
	if same {
		s.Say(old.Full() + ": all of its packages are up to date, so it stays the newest")
		return nil, nil
	}
	return t, err
}

func (s *site) clone(ctx context.Context, old *template.Template) error {
	if err := s.needs(old.Used); err != nil {
		return err
	}
	in, err := os.Open(old.Image())
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.create()
	if err != nil {
		return err
	}
	defer out.Close()
	told, done := s.work("copy", old.Size)
	defer done()
	_, err = sparse.Clone(ctx, out, in, old.Size, told)
	return err
}

func (r Refresh) upgrade() (*job.Upgrade, error) {
	if len(r.IP4) != 1 {
		return nil, fault.Permanent("the guest that does it needs one address of its own (--ip4 ADDRESS)")
	}
	address, err := netip.ParseAddr(r.IP4[0])
	if err != nil || !address.Is4() {
		return nil, fault.Permanent("--ip4: %q is no IPv4 address", r.IP4[0])
	}
	u := &job.Upgrade{Address: address}
	servers := r.DNS
	if len(servers) == 0 {
		servers = nameservers(r.Resolv)
	}
	for _, d := range servers {
		a, err := netip.ParseAddr(d)
		switch {
		case err != nil && len(r.DNS) > 0:
			return nil, fault.Permanent("--dns: %q is no address", d)
		case err != nil, a.IsLoopback(), !a.Is4(): // the host's own resolver is not the guest's
		default:
			u.DNS = append(u.DNS, a)
		}
	}
	return u, nil
}

// nameservers are those of resolv.conf(5); of systemd-resolved's own behind it.
func nameservers(file string) (all []string) {
	for _, name := range []string{file, filepath.Join("/run/systemd/resolve/resolv.conf")} {
		text, _ := os.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" && !strings.HasPrefix(f[1], "127.") {
				all = append(all, f[1])
			}
		}
		if len(all) > 0 {
			break
		}
	}
	return all
}
