package guard

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Lacks says what Admit would do, as commands of nft(8); nothing is all well. That
// is seen by one look for each of the guest's elements, whatever else is there.
func (f *Filter) Lacks(g Guest) ([]string, error) {
	r, err := f.Record(g.TAP)
	if err != nil {
		return nil, err
	}
	want := g.elements()
	if r != nil && r.comment == comment(want) {
		whole := true
		for _, e := range want {
			there, err := f.get(e.set, e.key)
			if err != nil {
				return nil, err
			}
			whole = whole && there != nil
		}
		if whole {
			return nil, nil
		}
	}
	return f.Change(g)
}

// Change is Lacks by a list of all elements: it also sees one too much that somebody
// else has added.
func (f *Filter) Change(g Guest) ([]string, error) {
	d, recorded, err := f.difference(g)
	return d.lines(g.TAP, recorded), err
}

// Admit gives the guest its elements, and takes away all others of its TAP, in one
// step. The table must be there.
func (f *Filter) Admit(g Guest) error {
	return f.again(g.TAP, func() error {
		d, recorded, err := f.difference(g)
		if err != nil {
			return err
		}
		if d.record {
			if recorded {
				d.remove = append(d.remove, element{guests, key(g.TAP)})
			}
			d.add = append(d.add, element{guests, key(g.TAP)})
		}
		return f.commit(d)
	})
}

// Expel takes all of a TAP's elements away: while it is in the group, it sends
// nothing.
func (f *Filter) Expel(tap string) error {
	return f.again(tap, func() error {
		all, err := f.elements(func(name string) bool { return name == tap })
		if err != nil {
			return err
		}
		return f.commit(difference{remove: all})
	})
}

// difference lists all elements only for a guest whose addresses have changed: of one
// without a record the table has nothing.
func (f *Filter) difference(g Guest) (d difference, recorded bool, err error) {
	r, err := f.Record(g.TAP)
	if err != nil || r == nil {
		return differ(nil, "", g.elements()), false, err
	}
	all, err := f.elements(func(name string) bool { return name == g.TAP })
	if err != nil {
		return d, false, err
	}
	is := slices.DeleteFunc(all, func(e element) bool { return e.set == guests })
	return differ(is, r.comment, g.elements()), true, nil
}

// commit makes the change whole or not at all.
func (f *Filter) commit(d difference) error {
	for _, set := range []string{guests, speaks, owns4, owns6} {
		for part := range slices.Chunk(d.of(d.remove, set), atOnce) {
			if err := f.SetDeleteElements(f.set(set), part); err != nil {
				return err
			}
		}
	}
	for _, set := range []string{guests, speaks, owns4, owns6} {
		for part := range slices.Chunk(d.of(d.add, set), atOnce) {
			if err := f.SetAddElements(f.set(set), part); err != nil {
				return err
			}
		}
	}
	return f.Flush()
}

// atOnce elements of some 60 bytes fit into one message, whose attributes have 16 bits
// for their length.
const atOnce = 500

func (d difference) of(all []element, set string) (list []nftables.SetElement) {
	for _, e := range all {
		if e.set != set {
			continue
		}
		el := nftables.SetElement{Key: []byte(e.key)}
		if set == guests {
			el.Comment = d.comment
		}
		list = append(list, el)
	}
	return list
}

func (f *Filter) set(name string) *nftables.Set { return &nftables.Set{Table: f.table, Name: name} }

// again: between the look and the change another may have taken an element away,
// and then the kernel does nothing of the change.
func (f *Filter) again(tap string, change func() error) (err error) {
	for range 20 {
		if err = change(); !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("change what nft table bridge %s has of %s: %w", Table, tap, err)
	}
	return nil
}
