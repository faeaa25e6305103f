package estate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/job"
	"uml/kernel"
	"uml/kernels"
	"uml/settings"
)

// A Spec is what a new machine is to be.
type Spec struct {
	Name     string
	Account  string // "": NAME
	Template string
	Kernel   string // image, or a name of the store; "": the store's default
	Disc     settings.Size
	COW      bool
	Settings map[string]string // the text of each file
	Gateway  string            // ADDRESS/LENGTH of a bridged guest's; "": by DHCP
	DNS      []string          // "": the host's
	Keys     []string          // root's, lines of authorized_keys
	Password *string           // root's; nil: none with a key, else a random one
	Activate bool
}

// A draft is a machine that is not there yet, all of it judged.
type draft struct {
	Spec
	o               Options
	root            string // the machines root
	dir             string // the machine's directory
	home            string // as the account's home is written: by the name of the root that was given
	image           *image
	device          string   // the guest's network device
	copies          []string // files of the jail that come from another's
	renames         *parting // the machine whose name this is to be
	ownAccount      bool     // it is there already, and nobody else's: its home says so
	applianceKernel string   // "": the machine's own
	m               *settings.Machine
	fit             *job.Fit

	faults []error
}

func (d *draft) fault(err error) {
	if err != nil {
		d.faults = append(d.faults, err)
	}
}

// draft judges a specification by itself. Its faults are in it, for who has more to look at.
func (o Options) draft(s Spec) (*draft, error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	d := &draft{Spec: s, o: o, root: root, dir: filepath.Join(root, s.Name)}
	if err := settings.CheckName(s.Name); err != nil {
		return nil, fault.Permanent("%w", err) // everything else follows from it
	}
	d.home = d.dir
	if d.Account == "" {
		d.Account = s.Name
	}
	d.fault(checkAccount(d.Account))
	d.Settings = maps.Clone(s.Settings)
	if d.Settings == nil {
		d.Settings = map[string]string{}
	}
	if d.Account != s.Name {
		d.Settings["user"] = d.Account
	}
	return d, nil
}

// settle makes the machine of the settings.
func (d *draft) settle() {
	m, err := settings.Draft(d.dir, settings.Account{Name: d.Account, UID: -1, GID: -1}, d.Settings)
	d.fault(err)
	if d.m = m; err == nil {
		d.fault(d.describe())
	}
}

// useKernel finds the kernel, and what its network device is called.
func (d *draft) useKernel() {
	file, err := d.o.kernel(d.Kernel)
	if err != nil {
		d.fault(err)
		return
	}
	d.Settings["kernel"] = file
	d.device, err = device(file, d.Settings["transport"])
	d.fault(err)
}

// kernel is an image: a path, or one of the store's by its name, at first the default.
func (o Options) kernel(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if name == "" {
		return kernels.DefaultImage(o.Kernels)
	}
	store, err := filepath.Abs(o.Kernels)
	if err != nil {
		return "", err
	}
	file := filepath.Join(store, name, "linux")
	if _, err := os.Stat(file); err != nil {
		return "", fault.Permanent("kernel %q: %w (uml-kernel list says which there are)", name, err)
	}
	return file, nil
}

func device(file, transport string) (string, error) {
	at, err := handle.Open(file)
	if err != nil {
		return "", fault.Permanent("kernel: %w", err)
	}
	defer at.Close()
	return deviceOf(at, file, transport)
}

// deviceOf is for a file that may be a guest's user's: a fifo would wait for ever.
func deviceOf(at *handle.File, file, transport string) (string, error) {
	if err := at.Regular(); err != nil {
		return "", err
	}
	f, err := at.Reopen(unix.O_RDONLY)
	if err != nil {
		return "", fault.Permanent("kernel: %w", err)
	}
	defer f.Close()
	i, err := kernel.Inspect(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if strings.TrimSpace(transport) == settings.Tuntap.String() || !i.Vector {
		return "eth0", nil
	}
	return "vec0", nil
}

// describe is what the guest is told of its machine.
func (d *draft) describe() error {
	m := d.m
	d.fit = &job.Fit{
		Name:      d.Name,
		Mounts:    &job.Mounts{Root: m.Root, Discs: []string{"/dev/ubda"}},
		Terminals: terminals(m),
		Network:   &job.Network{},
	}
	if m.Swap > 0 {
		d.fit.Mounts.Swap = "/dev/ubdp"
	}
	if m.Net.Kind != settings.None {
		n, err := network(m, d.Gateway)
		if err != nil {
			return err
		}
		n.Device = d.device
		d.fit.Network = n
	} else if d.Gateway != "" {
		return fault.Permanent("a gateway, and no network (net is none)")
	}
	return d.resolvers()
}

// network: a routed guest has its addresses alone, and sends everything to its device, where the
// host answers for all others; on a bridge it is one of the segment's.
func network(m *settings.Machine, gateway string) (*job.Network, error) {
	n := &job.Network{Auto6: len(m.IP6) > 0}
	bits := 32
	if m.Net.Kind == settings.Bridged && gateway != "" {
		p, err := netip.ParsePrefix(gateway)
		if err != nil || !p.Addr().Is4() || p.Bits() > 30 || p.Bits() < 1 {
			return nil, fault.Permanent("%q is no gateway (try 192.0.2.1/24: its address, and the length of the segment's prefix)", gateway)
		}
		for _, a := range m.Addresses4() {
			if !p.Contains(a) {
				return nil, fault.Permanent("%v is not in the segment of the gateway, %v", a, p.Masked())
			}
		}
		n.Gateway, bits = p.Addr(), p.Bits()
	} else if gateway != "" {
		return nil, fault.Permanent("a gateway is for bridged guests: a routed one has none (see \"What a guest needs inside\" in docs/tasks/by-hand.md)")
	} else if m.Net.Kind == settings.Bridged {
		n.DHCP = len(m.IP4) > 0 || m.Spoof
	}
	if !n.DHCP {
		for _, a := range m.Addresses4() {
			n.Addresses = append(n.Addresses, netip.PrefixFrom(a, bits))
		}
	}
	for i, p := range m.IP6 {
		switch {
		case m.Net.Kind == settings.Bridged && p.Bits() == 128:
			n.Addresses = append(n.Addresses, p)
		case m.Net.Kind == settings.Bridged: // the one that it makes for itself
		case i == 0:
			n.Addresses = append(n.Addresses, netip.PrefixFrom(settings.Router(p), 64))
		default:
			n.Addresses = append(n.Addresses, netip.PrefixFrom(settings.Router(p), 128))
		}
	}
	return n, nil
}

// terminals are the consoles and lines at which somebody can type.
func terminals(m *settings.Machine) *[]string {
	all := []string{}
	for _, c := range m.Channels {
		in, _, _ := strings.Cut(c.Value, ",")
		kind := strings.TrimRight(c.Device, "0123456789")
		number := c.Device[len(kind):]
		if number == "" || in == "null" || in == "none" || in == "fd:1" || in == "fd:2" {
			continue
		}
		all = append(all, map[string]string{"con": "tty", "ssl": "ttyS"}[kind]+number)
	}
	return &all
}

func (d *draft) resolvers() error {
	dns := &job.DNS{}
	for _, s := range d.DNS {
		a, err := netip.ParseAddr(s)
		if err != nil || a.IsLoopback() || a.IsUnspecified() {
			return fault.Permanent("%q is no address of a name server that a guest could ask", s)
		}
		dns.Servers = append(dns.Servers, a)
	}
	if len(dns.Servers) == 0 {
		dns = hostResolvers()
	}
	if len(dns.Servers) > 0 {
		d.fit.DNS = dns
	}
	return nil
}

// hostResolvers are the host's own, but for those that only the host can ask.
func hostResolvers() *job.DNS {
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		dns := &job.DNS{}
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			switch f[0] {
			case "nameserver":
				a, err := netip.ParseAddr(f[1])
				if err == nil && !a.IsLoopback() && a.Zone() == "" && !a.IsUnspecified() && !slices.Contains(dns.Servers, a) {
					dns.Servers = append(dns.Servers, a)
				}
			case "search", "domain":
				dns.Search = f[1:]
			}
		}
		if len(dns.Servers) > 0 {
			return dns
		}
	}
	return &job.DNS{}
}

// judged is every fault at once.
func (d *draft) judged() error { return errors.Join(d.faults...) }

func (d *draft) step(format string, args ...any) {
	if d.o.Step != nil {
		d.o.Step(d.Name + ": " + fmt.Sprintf(format, args...))
	}
}

func ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
