package disc

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"uml/fault"
	"uml/superblock"
)

// print writes one thing a line, its name before it.
func (r Report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, fault.Line(fmt.Sprintf(format, args...)))
	}
	line("file", "%s", r.File)
	line("size", "%s (%d bytes)", human(r.Size), r.Size)
	line("on disc", "%s (%d bytes)", human(r.OnDisc), r.OnDisc)
	if r.COW != nil {
		c := r.COW
		line("format", "COW, version %d", c.Version)
		line("own", "%s (%d bytes)", human(c.Own), c.Own)
		line("header", "%s, of @%d", c.Header, c.MTime)
		if c.Backing != "" {
			line("backing", "%s: %s", c.Backing, c.State)
		}
		if c.Halves > 0 {
			line("half pages", "%d: the guest's kernel reads them wrongly (try: uml-disk cow check --mend)", c.Halves)
		}
	} else {
		line("format", "%s", r.Format)
	}
	for _, f := range r.Filesystems {
		line(f.where(), "%s", f.String())
	}
	if r.Fault != "" {
		line("fault", "%s", r.Fault)
	}
	for _, pid := range r.PIDs {
		line("in use by", "process %d", pid)
	}
	return t.Flush()
}

func (f Filesystem) where() string {
	if f.Partition > 0 {
		return fmt.Sprintf("partition %d", f.Partition)
	}
	return "holds"
}

func (f Filesystem) String() string {
	words := []string{f.Kind}
	if f.Kind == string(superblock.None) {
		words[0] = "nothing, zeros"
	}
	if f.Block > 0 {
		words = append(words, fmt.Sprintf("blocks of %d", f.Block))
	}
	if f.Size > 0 {
		words = append(words, human(f.Size))
	}
	if f.Label != "" {
		words = append(words, fmt.Sprintf("label %q", f.Label))
	}
	return strings.Join(words, ", ")
}

// human is a size as ls -h has it.
func human(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	v, unit := float64(n), 0
	for v >= 1024 && unit < 5 {
		v, unit = v/1024, unit+1
	}
	if v < 10 && v != float64(int64(v)) {
		return fmt.Sprintf("%.1f%c", v, "BKMGTP"[unit])
	}
	return fmt.Sprintf("%.0f%c", v, "BKMGTP"[unit])
}
