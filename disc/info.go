package disc

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"

	"uml/cow"
	"uml/fault"
	"uml/lock"
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
