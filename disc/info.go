package disc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"uml/cow"
	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/settings"
	"uml/superblock"
)

// A Report is what is known of a disc's file. The JSON only gains fields.
type Report struct {
	Device      string       `json:"device,omitempty"` // ubd0, of list
	File        string       `json:"file"`
	Size        int64        `json:"size"`   // bytes that the guest has
	OnDisc      int64        `json:"ondisc"` // bytes that it takes of the host's filesystem
	Format      string       `json:"format"` // raw, cow, qcow2
	Filesystems []Filesystem `json:"filesystems,omitempty"`
	COW         *COW         `json:"cow,omitempty"`
	PIDs        []int        `json:"pids,omitempty"` // processes that have it locked
	Fault       string       `json:"fault,omitempty"`
}

// Filesystem is one of a disc's.
type Filesystem struct {
	Kind      string `json:"kind"`
	Partition int    `json:"partition,omitempty"`
	Block     int64  `json:"block,omitempty"`
	Size      int64  `json:"size,omitempty"`
	Label     string `json:"label,omitempty"`
}

// COW is what a COW file says of itself.
type COW struct {
	Version int    `json:"version"`
	Header  string `json:"header"` // the backing file, as the guest's kernel names it
	Backing string `json:"backing,omitempty"`
	Own     int64  `json:"own"`    // bytes of the disc that it has
	Halves  int64  `json:"halves"` // pages of which it has only a part
	MTime   int64  `json:"mtime"`  // of the backing file, in the header
	State   string `json:"state"`  // of the backing file: unchanged, or what is wrong
}

// Info prints what is known of a disc.
func Info(o Options, file string, asJSON bool) error {
	p, f, err := openTo(file, look)
	if err != nil {
		return err
	}
	defer p.Close()
	defer f.Close()
	r, err := p.report(f)
	if err != nil {
		return err
	}
	if r.PIDs, err = users(f); err != nil {
		return err
	}
	if asJSON {
		return printJSON(o.Out, r)
	}
	return r.print(o.Out)
}

// CowInfo prints what a COW file's header and bitmap say.
func CowInfo(o Options, file string, asJSON bool) error {
	p, f, err := openTo(file, look)
	if err != nil {
		return err
	}
	defer p.Close()
	defer f.Close()
	c, err := cow.Open(f)
	if err != nil {
		return fault.Permanent("%w", err)
	}
	r := Report{File: file, Size: c.Size, OnDisc: allocated(f), Format: "cow"}
	if r.COW, err = p.cow(c, nil); err != nil {
		return err
	}
	if asJSON {
		return printJSON(o.Out, r)
	}
	return r.print(o.Out)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (p *Place) report(f *os.File) (r Report, err error) {
	st, err := f.Stat()
	if err != nil {
		return r, err
	}
	r = Report{File: p.Path, Size: st.Size(), OnDisc: allocated(f), Format: "raw"}
	c, err := cow.Open(f)
	switch {
	case err == nil:
		r.Format, r.Size = "cow", c.Size
		r.COW, err = p.cow(c, &r.Filesystems)
		return r, err
	case !errors.Is(err, cow.ErrNone):
		r.Format, r.Fault = "cow", err.Error()
		return r, nil
	case isQcow2(f):
		r.Format = "qcow2"
		return r, nil
	}
	r.Filesystems, err = filesystems(f, st.Size())
	return r, err
}

func filesystems(r io.ReaderAt, size int64) (all []Filesystem, err error) {
	found, err := superblock.Look(r, size)
	for _, f := range found {
		all = append(all, Filesystem{string(f.Kind), f.Partition, f.Block, f.Size, f.Label})
	}
	return all, err
}

// cow looks at the pair as far as the backing file is to be had.
func (p *Place) cow(c *cow.File, on *[]Filesystem) (*COW, error) {
	n, err := c.Count()
	if err != nil {
		return nil, err
	}
	r := &COW{Version: int(min(c.Version, cow.V3)), Header: c.Backing, Own: n.Sectors * cow.Sector, Halves: n.Halves, MTime: c.MTime, State: "unchanged"}
	if r.Backing, err = p.backing(c.Header); err != nil {
		r.State = "not known"
		return r, nil
	}
	base, in, err := openTo(r.Backing, look)
	if err != nil {
		r.State = err.Error()
		return r, nil
	}
	defer base.Close()
	defer in.Close()
	pair, err := c.With(in)
	if err = p.other(c.Header, base, err); err != nil {
		r.State = err.Error()
	}
	if pair != nil && on != nil {
		*on, err = filesystems(pair, c.Size)
		return r, err
	}
	return r, nil
}

// users are the processes that have the file locked: kernels of guests, and who else
// works on discs.
func users(f *os.File) (pids []int, err error) {
	holders, err := lock.Find(f)
	if err != nil {
		return nil, err
	}
	for _, h := range holders {
		// A guest's kernel has a process for each of the guest's own: the first took the lock.
		if h.Taker == h.PID || !slices.ContainsFunc(holders, func(o lock.Holder) bool { return o.PID == h.Taker }) {
			pids = append(pids, h.PID)
		}
	}
	var held *lock.Held
	if errors.As(lock.Unopened(f, false), &held) && len(pids) == 0 { // a kernel that we did not start
		pids = append(pids, held.PID)
	}
	return pids, nil
}

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

// List prints the discs of a machine.
func List(o Options, machine string, asJSON bool) error {
	dir, err := handle.OpenDir(machine)
	if err != nil {
		return fault.Permanent("%s: there is no such machine directory", machine)
	}
	defer dir.Close()
	m, faults := settings.Read(dir)
	if m == nil || m.User.UID == 0 {
		return faults
	}
	all := []Report{}
	for _, d := range m.Discs {
		r, err := listed(m, fmt.Sprintf("ubd%d", d.N), d.File)
		if d.Optional && errors.Is(err, unix.ENOENT) {
			continue
		}
		all = append(all, r)
	}
	if m.Swap > 0 {
		r, _ := listed(m, "swap", "swap")
		all = append(all, r)
	}
	if asJSON {
		return printJSON(o.Out, all)
	}
	return table(o.Out, all)
}

func listed(m *settings.Machine, device, file string) (r Report, err error) {
	host := file
	if !path.IsAbs(file) {
		host = path.Join(m.Dir, "jail", file)
	}
	p, f, err := openTo(host, look)
	if err != nil {
		return Report{Device: device, File: host, Fault: err.Error()}, err
	}
	defer p.Close()
	defer f.Close()
	if r, err = p.report(f); err == nil {
		r.PIDs, err = users(f)
	}
	if err != nil {
		r.Fault = err.Error()
	}
	r.Device, r.File = device, host
	return r, nil
}

func table(w io.Writer, all []Report) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tSIZE\tON DISC\tFORMAT\tHOLDS\tUSED BY\tFILE")
	for _, r := range all {
		holds, pids, file := "-", "-", r.File
		if len(r.Filesystems) > 0 {
			holds = r.Filesystems[0].Kind
			if n := len(r.Filesystems); n > 1 {
				holds = fmt.Sprintf("%d partitions", n)
			}
		}
		if len(r.PIDs) > 0 {
			pids = strings.Trim(fmt.Sprint(r.PIDs), "[]")
		}
		if r.COW != nil {
			file += " on " + r.COW.Backing
			if r.COW.State != "unchanged" {
				file += " (" + r.COW.State + ")"
			}
		}
		if r.Fault != "" {
			file += " (" + r.Fault + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Device, human(r.Size), human(r.OnDisc), r.Format, holds, pids, fault.Line(file))
	}
	return t.Flush()
}
