package disc

import (
	"fmt"
	"os"

	"uml/cow"
	"uml/fault"
	"uml/superblock"
)

// CowCreate makes a COW file of a backing file, without a sector of its own.
func CowCreate(o Options, backing, file string, v cow.Version) error {
	base, in, err := openBacking(backing, read)
	if err != nil {
		return err
	}
	defer base.Close()
	defer in.Close()
	p, err := Find(file)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.make(func(f *os.File) error {
		pair, err := createOn(f, v, base, in, p)
		if err == nil {
			err = o.warnOf(pair, backing)
		}
		return err
	})
}

// warnOf: a start refuses what the guest's kernel reads wrongly, unless it is told that this
// one does not.
func (o Options) warnOf(pair *cow.Pair, backing string) error {
	found, err := superblock.Look(pair, pair.Size)
	for _, fs := range found {
		if verdict, why := fs.OnCOW(); verdict == superblock.Unsafe {
			o.Say(fmt.Sprintf("warning: %s: %s; a start will refuse it (cow-unsafe in uml-machine(5))", backing, why))
		}
	}
	return err
}

// createOn: the header names the backing file as the guest's kernel will see it.
func createOn(f *os.File, v cow.Version, base *Place, in *os.File, p *Place) (*cow.Pair, error) {
	st, err := in.Stat()
	if err != nil {
		return nil, err
	}
	if err := cow.CheckSize(st.Size()); err != nil {
		return nil, fault.Permanent("%s: %w", base.Path, err)
	}
	c, err := cow.Create(f, v, base.from(p), st.Size(), st.ModTime().Unix())
	if err != nil {
		return nil, err
	}
	return c.With(in)
}
