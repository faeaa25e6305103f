package estate

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"uml/fault"
)

// bases finds what the machine uses of its host's here, and has the settings say so.
func (c *Coming) bases(ctx context.Context, e Errand) error {
	if e.Kernel != "" {
		file, err := c.o.kernel(e.Kernel)
		c.d.fault(err)
		c.d.Settings["kernel"] = file
		c.told[file] = true
	} else if k := c.Pass.Kernel; k != nil {
		file, err := c.o.local(ctx, k)
		if err != nil {
			return err
		}
		if file == "" {
			c.d.fault(fault.Permanent("kernel %s: is not on this host with the same in it (uml-kernel add adds it; --kernel NAME takes another)", k.Path))
			file = k.Path
		}
		c.d.Settings["kernel"] = file
		c.told[file] = true
	}
	for i := range c.Pass.Bases {
		b := &c.Pass.Bases[i]
		file, err := c.o.local(ctx, b)
		if err != nil {
			return err
		}
		c.paths[b.Path] = file
		switch {
		case file == "" && b.Template == nil:
			c.d.fault(fault.Permanent("%s: %s is not on this host with the same in it (copy it to the same path)", b.Setting, b.Path))
		case file == "":
			c.Wants = append(c.Wants, len(c.Pass.Files)+i)
			file, err = c.o.comesTo(b)
			if err != nil {
				return err
			}
		}
		c.useBase(b, file)
		c.told[b.Path], c.told[file] = true, true
	}
	return nil
}

// useBase puts a path of this host into the settings, of all discs that stand on it.
func (c *Coming) useBase(b *Base, file string) {
	if file == b.Path || file == "" {
		return
	}
	for n := range 8 {
		name := fmt.Sprintf("ubd%d", n)
		if text, ok := c.d.Settings[name]; ok {
			c.d.Settings[name] = replaceWord(text, b.Path, file)
		}
	}
}

// replaceWord is for the name of a file in a disc's setting: FILE[,BACKING] [FLAGS].
func replaceWord(text, old, by string) string {
	end := func(s string) bool { return s == "" || strings.ContainsAny(s[:1], ", \t\r\n") }
	var b strings.Builder
	for from := 0; ; {
		at := strings.Index(text[from:], old)
		if at < 0 {
			return b.String() + text[from:]
		}
		at += from
		to := at + len(old)
		b.WriteString(text[from:at])
		if end(text[max(at-1, 0):at]) && end(text[to:]) {
			b.WriteString(by)
		} else {
			b.WriteString(old)
		}
		from = to
	}
}

// named: what the settings name of the jail is what comes, and nothing else does; what they name
// of the host is what the offer knows by what is in it.
func (c *Coming) named() {
	want := map[string]bool{}
	host := func(f string) {
		if filepath.IsAbs(f) && !c.told[f] {
			c.d.fault(fault.Permanent("file %s: the settings name it, and the offer does not say what is in it", f))
		}
	}
	for _, d := range c.d.m.Discs {
		for _, f := range []string{d.File, d.Backing} {
			host(f)
			if f != "" && !filepath.IsAbs(f) {
				want[f] = !d.Optional
			}
		}
	}
	for _, f := range []string{c.d.m.Kernel, c.d.m.Initrd} {
		host(f)
		if f != "" && !filepath.IsAbs(f) {
			want[f] = true
		}
	}
	for i, f := range c.Pass.Files {
		if _, ok := want[f.Name]; !ok {
			c.d.fault(fault.Permanent("file %s: no setting names it", f.Name))
		}
		delete(want, f.Name)
		c.Wants = append(c.Wants, i)
	}
	for f, needed := range want {
		if needed {
			c.d.fault(fault.Permanent("file %s: the settings name it, and it does not come", f))
		}
	}
}
