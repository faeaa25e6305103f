// Package template keeps templates: images of root filesystems that machines' discs are
// copies of, or stand on as copy-on-write files (paper 2.4, 5.1). They are made by
// package builder.
//
// The store is a directory of root's. A template is a pair of files in it, NAME@STAMP.img
// and NAME@STAMP.json. The image never changes, and gets its name last and loses it first:
// a manifest without one is no template, however its making was ended.
package template

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"uml/fault"
	"uml/job"
	"uml/settings"
)

// Default is where templates are.
const Default = "/var/lib/uml/templates"

// A Manifest says what a template is. It is the file beside the image, and what show prints.
type Manifest struct {
	Name   string    `json:"name"`
	Stamp  string    `json:"stamp"`
	Made   time.Time `json:"made"`
	By     string    `json:"by"`             // version of the program
	Source string    `json:"source"`         // as it was named
	From   string    `json:"from,omitempty"` // the template that it is an update of
	SHA256 string    `json:"sha256"`         // of the whole image, its holes being zeros
	Size   int64     `json:"size"`           // of the image, bytes
	Used   int64     `json:"used"`           // of the filesystem, bytes
	Inodes int64     `json:"inodes"`         // in use

	Filesystem string        `json:"filesystem"`
	System     string        `json:"system"` // as it calls itself
	ID         string        `json:"id,omitempty"`
	Release    string        `json:"release,omitempty"`
	Init       string        `json:"init,omitempty"`
	Network    string        `json:"network,omitempty"` // what configures it
	Cloud      bool          `json:"cloud_init"`
	SSH        bool          `json:"ssh"`
	Manager    string        `json:"package_manager,omitempty"`
	Packages   []job.Package `json:"packages"`
}

// A Template is one that is whole.
type Template struct {
	Manifest
	Dir string `json:"-"`
}

// Full is its name and stamp.
func (t *Template) Full() string { return t.Name + "@" + t.Stamp }

// Image is its file.
func (t *Template) Image() string { return filepath.Join(t.Dir, t.Full()+image) }

func (t *Template) manifest() string { return filepath.Join(t.Dir, t.Full()+manifest) }

// Extensions of the pair.
const (
	image    = ".img"
	manifest = ".json"
)

// layout is a stamp: UTC, and sorted as the times are.
const layout = "20060102T150405Z"

// Stamp is a time as a template's name has it.
func Stamp(t time.Time) string { return t.UTC().Format(layout) }

// ParseName takes NAME or NAME@STAMP apart.
func ParseName(full string) (name, stamp string, err error) {
	name, stamp, certain := strings.Cut(full, "@")
	if err := settings.CheckName(name); err != nil {
		return "", "", fault.Usage.Permanent("%q is no name of a template (letters, digits, then also . _ -, at most 63; @STAMP for a certain one)", full)
	}
	if t, err := time.Parse(layout, stamp); certain && (err != nil || Stamp(t) != stamp) {
		return "", "", fault.Usage.Permanent("%q: %q is no stamp (as list shows them, such as 20260102T150405Z)", full, stamp)
	}
	return name, stamp, nil
}

// maxManifest bounds what is read of one.
const maxManifest = 8 << 20

// read reads a manifest by the name of its file: fs.ErrNotExist if there is none, or no image.
func read(dir, file string) (*Template, error) {
	path := filepath.Join(dir, file)
	st, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxManifest {
		return nil, fault.Permanent("%s: is no manifest of a template", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &Template{Dir: dir}
	if err := json.Unmarshal(text, &t.Manifest); err != nil {
		return nil, fault.Permanent("%s: %w", path, err)
	}
	if t.Full()+manifest != file {
		return nil, fault.Permanent("%s: is the manifest of %q", path, t.Full())
	}
	st, err = os.Lstat(t.Image())
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() != t.Size {
		return nil, fault.Permanent("%s: is no image of %d bytes, as its manifest says", t.Image(), t.Size)
	}
	return t, nil
}

// encode is the manifest as text.
func (m *Manifest) encode() []byte {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil { // none of its types can fail
		panic(err)
	}
	return append(text, '\n')
}

func (t *Template) String() string { return fmt.Sprintf("%s (%s)", t.Full(), t.System) }
