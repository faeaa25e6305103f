package kernels

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"uml/fault"
	"uml/kernel"
)

// A Manifest is what is known of a kernel. The names of its fields in JSON stay as they
// are; fields may be added.
type Manifest struct {
	Name        string    `json:"name"`
	Made        time.Time `json:"made"`
	Source      string    `json:"source"` // a file, or a package with its version
	SHA256      string    `json:"sha256"` // of the image
	Size        int64     `json:"size"`
	Release     string    `json:"release"`               // as uname -r says it
	Transports  []string  `json:"transports"`            // of settings/transport: vector, fd, tuntap
	Interpreter string    `json:"interpreter,omitempty"` // "": it is static
	Libraries   []string  `json:"libraries,omitempty"`
	SKAS        []string  `json:"skas"` // how it runs guests' processes: ptrace, seccomp, skas3
	NoReboot    bool      `json:"noreboot"`
	Initrd      bool      `json:"initrd"`          // it takes one, and has ours
	Early       []string  `json:"early,omitempty"` // modules that the initrd loads
	Modules     int       `json:"modules"`         // how many are in modules.img; 0: there is none
}

const maxManifest = 1 << 20

func readManifest(r io.Reader) (*Manifest, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxManifest {
		return nil, fault.Permanent("is larger than %d bytes", maxManifest)
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fault.Permanent("is no manifest: %w", err)
	}
	if m.Release == "" {
		return nil, fault.Permanent("is no manifest: says no release")
	}
	return m, nil
}

func (m *Manifest) text() []byte {
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil { // none of its types can fail
		panic(err)
	}
	return append(text, '\n')
}

// describe takes from the image what it tells of itself.
func (m *Manifest) describe(i *kernel.Image) (err error) {
	if m.Release, err = i.Release(); err != nil {
		return err
	}
	m.Interpreter, m.Libraries, m.NoReboot, m.Initrd = i.Interp, i.Needed, i.NoReboot, i.Initrd
	for _, t := range []struct {
		name string
		has  func() (bool, error)
	}{{"vector", func() (bool, error) { return i.Vector, nil }}, {"fd", i.Inherits}, {"tuntap", i.Tuntap}} {
		has, err := t.has()
		if err != nil {
			return err
		}
		if has {
			m.Transports = append(m.Transports, t.name)
		}
	}
	m.SKAS, err = i.SKAS()
	return err
}

// Link says how it is linked: static, or with which libraries.
func (m *Manifest) Link() string {
	if m.Interpreter == "" {
		return "static"
	}
	return strings.Join(m.Libraries, " ")
}
