package estate

import (
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"strings"

	"uml/fault"
	"uml/settings"
	"uml/template"
)

// A Passport is what another host is told of a machine that is to go there. What it says is
// judged there as a new machine's specification is. Its JSON only gains fields.
type Passport struct {
	Move     string            `json:"move"` // of which all that belongs to one move knows: 32 hex digits
	From     string            `json:"from"` // host, for people
	Name     string            `json:"name"`
	Account  string            `json:"account"`
	Settings map[string]string `json:"settings"`
	Keys     string            `json:"keys,omitempty"` // authorized_keys of its account
	Files    []Baggage         `json:"files"`          // of its jail: they go with it
	Bases    []Base            `json:"bases"`          // of its host: the other has them, or gets them
	Kernel   *Base             `json:"kernel,omitempty"`
	Segment  []string          `json:"segment,omitempty"` // prefixes of the host's external interface, of a routed guest
	Activate bool              `json:"activate"`
}

// Baggage is a file in the jail.
type Baggage struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"`
	Data  int64  `json:"data"` // bytes of the disc that it takes
	Mode  uint32 `json:"mode"`
	MTime int64  `json:"mtime"` // nanoseconds since 1970: a COW file knows its backing file by it
}

// A Base is a file of the host that guests share: a backing file, a disc that is only read, a
// kernel.
type Base struct {
	Setting  string             `json:"setting"`
	Path     string             `json:"path"`
	Size     int64              `json:"size"`
	Data     int64              `json:"data"`
	SHA256   string             `json:"sha256"`
	Template *template.Manifest `json:"template,omitempty"` // of the store: it is sent if it is not there
}

func newMove() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// checkMove is for a number from the wire: it becomes the name of a file, and "" would be that of
// what is no move.
func checkMove(id string) error {
	if b, err := hex.DecodeString(id); err != nil || len(b) != 16 || id != strings.ToLower(id) {
		return fault.Usage.Permanent("%.40q is no number of a move", id)
	}
	return nil
}

// Bounds on what the other side claims.
const (
	mostFiles = 24 // 8 discs and their backing files, kernel and initrd, and some
	mostText  = 64 << 10
)

// check is for a passport from the wire: nothing in it may be taken for what it is not, before
// the draft judges the rest.
func (p *Passport) check() error {
	bad := func(format string, args ...any) error {
		return fault.Permanent("the other host's offer: "+format, args...)
	}
	if err := checkMove(p.Move); err != nil {
		return bad("%w", err)
	}
	if err := settings.CheckName(p.Name); err != nil {
		return bad("%w", err)
	}
	if len(p.Files)+len(p.Bases) > mostFiles || len(p.Settings) > 100 || len(p.Keys) > mostText || len(p.From) > 255 || len(strings.Join(p.Segment, " ")) > 4<<10 {
		return bad("it is too long")
	}
	for n, v := range p.Settings {
		if len(v) > mostText || settings.CheckName(n) != nil {
			return bad("setting %.70q", n)
		}
	}
	seen := map[string]bool{}
	for _, f := range p.Files {
		if settings.CheckName(f.Name) != nil || f.Name == "uml" || seen[f.Name] {
			return bad("%.70q is no name of a file in a jail", f.Name)
		}
		if f.Size < 0 || f.Size > most || f.Data < 0 || f.Mode&^0o777 != 0 {
			return bad("file %s: size %d, mode %o", f.Name, f.Size, f.Mode)
		}
		seen[f.Name] = true
	}
	bases := p.Bases
	for _, b := range bases {
		if !strings.HasPrefix(b.Setting, "ubd") {
			return bad("%.70q is no disc", b.Setting)
		}
	}
	if p.Kernel != nil {
		if p.Kernel.Setting != "kernel" || p.Kernel.Template != nil {
			return bad("a kernel that is %.70q", p.Kernel.Setting)
		}
		bases = append(bases[:len(bases):len(bases)], *p.Kernel)
	}
	for _, b := range bases {
		if d, err := hex.DecodeString(b.SHA256); err != nil || len(d) != 32 || b.Size < 0 || b.Size > most || b.Data < 0 {
			return bad("file %.70q of its host", b.Path)
		}
		if !filepath.IsAbs(b.Path) || filepath.Clean(b.Path) != b.Path || strings.ContainsAny(b.Path, ", \n") {
			return bad("%.70q is no path", b.Path)
		}
		if b.Template != nil {
			if _, stamp, err := template.ParseName("x@" + b.Template.Stamp); err != nil || stamp == "" {
				return bad("%.70q is no time of a template", b.Template.Stamp)
			}
		}
		if _, ok := p.Settings[b.Setting]; !ok {
			return bad("%s has no such setting: %.70q", p.Name, b.Setting)
		}
	}
	return nil
}

// most is a size that no disc has, in bytes: 16 TiB, ext4's own bound.
const most = 16 << 40
