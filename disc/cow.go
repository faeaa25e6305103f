package disc

import (
	"os"

	"uml/cow"
	"uml/fault"
)

// CowCreate makes a COW file of a backing file, without a sector of its own.
func CowCreate(backing, file string, v cow.Version) error {
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
		_, err := createOn(f, v, base, in, p)
		return err
	})
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
