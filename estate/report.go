package estate

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"uml/job"
	"uml/settings"
)

// A Report is what a new machine is. Its JSON only gains fields.
type Report struct {
	Name      string    `json:"name"`
	Dir       string    `json:"dir"`
	Account   string    `json:"account"`
	UID       int       `json:"uid"`
	Addresses []string  `json:"addresses"` // of the guest
	Device    string    `json:"device,omitempty"`
	Template  string    `json:"template,omitempty"` // the image
	Disc      int64     `json:"disc"`               // bytes
	COW       bool      `json:"cow"`
	Kernel    string    `json:"kernel"`
	Password  string    `json:"password,omitempty"` // root's, of which nobody else is told
	HostKeys  []HostKey `json:"host_keys"`
	MachineID string    `json:"machine_id"`
	Network   string    `json:"network,omitempty"` // what configures it in the guest
	Init      string    `json:"init,omitempty"`
	Cloud     bool      `json:"cloud,omitempty"`
	Activated bool      `json:"activated"`
	Notes     []string  `json:"notes,omitempty"`
	Took      float64   `json:"seconds"`

	keys bool
}

func (d *draft) report(s *secrets, a settings.Account, answer *job.Answer) *Report {
	fitted := answer.Facts.Fitted
	r := &Report{
		Name: d.Name, Dir: d.dir, Account: a.Name, UID: a.UID, Device: d.fit.Network.Device, Disc: int64(d.Disc), COW: d.COW,
		Kernel: d.Settings["kernel"], Password: s.password, MachineID: s.fresh.MachineID, HostKeys: []HostKey{}, Addresses: []string{},
		Network: fitted.Network, Init: fitted.Init, Cloud: fitted.Cloud, keys: len(d.Keys) > 0,
	}
	if d.image != nil {
		r.Template = d.image.Path
	}
	for _, k := range s.keys {
		if slices.Contains(fitted.HostKeys, k.Kind) {
			r.HostKeys = append(r.HostKeys, k)
		}
	}
	for _, p := range d.m.Addresses() {
		r.Addresses = append(r.Addresses, p.String())
	}
	r.Notes = append(r.Notes, fitted.Notes...)
	return r
}

// JSON prints it as one object.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(r)
}

// Print prints it for a person.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, account %s (%d)", r.Name, r.Dir, r.Account, r.UID)
	if len(r.Addresses) > 0 {
		fmt.Fprintf(&b, ", %s", strings.Join(r.Addresses[:min(len(r.Addresses), shown)], " "))
	}
	b.WriteString("\n")
	switch {
	case r.Password != "":
		fmt.Fprintf(&b, "root's password: %s\n", r.Password)
	case r.keys:
		b.WriteString("root logs in by key\n")
	}
	for _, k := range r.HostKeys {
		fmt.Fprintf(&b, "host key: %v\n", k)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if !r.Activated {
		fmt.Fprintf(&b, "to start it: uml-ctl activate %s\n", r.Name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shown is how many addresses are printed for a person.
const shown = 8

// print says what would be made, and how, as uml-run --dry-run does.
func (d *draft) print(w io.Writer) error {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-8s %s\n", what, fmt.Sprintf(format, args...))
	}
	line("account", "useradd --system --user-group --no-create-home --home-dir %s --shell %s %s", d.home, shell(), d.Account)
	line("make", "%s/%s/%s: settings, jail of %s, run, log", d.root, staging, d.Name, d.Account)
	if d.image != nil {
		how := "copy"
		if d.COW {
			how = "COW file"
		}
		line("disc", "jail/ubd0: %s of %s, %v", how, d.image.Path, d.Disc)
	}
	for _, name := range d.copies {
		line("disc", "jail/%s: copy of the other's", name)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Settings)) {
		line("setting", "%s: %s", name, strings.ReplaceAll(strings.TrimSpace(d.Settings[name]), "\n", " "))
	}
	f := d.fit
	line("fit", "host name %s; %s at /, swap %s", f.Name, f.Mounts.Root, or(f.Mounts.Swap, "none"))
	switch n := f.Network; {
	case n.Device == "":
		line("fit", "no network")
	case n.DHCP:
		line("fit", "%s by DHCP", n.Device)
	default:
		var all []string
		for _, p := range n.Addresses {
			all = append(all, p.String())
		}
		line("fit", "%s has %s", n.Device, strings.Join(all, " "))
	}
	line("fit", "log-in at %s; new host keys, new machine-id; logs and histories removed", or(strings.Join(*f.Terminals, " "), "no console"))
	switch {
	case d.Password != nil:
		line("fit", "root's password as given")
	case len(d.Keys) > 0:
		line("fit", "root's password none, %d keys", len(d.Keys))
	default:
		line("fit", "root's password at random")
	}
	line("move", "to %s", d.dir)
	if d.Activate {
		line("link", "%s/uml-%s", d.o.Service, d.Name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func or(s, none string) string {
	if s == "" {
		return none
	}
	return s
}
