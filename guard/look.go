package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A Record is what the table says of a guest by one look.
type Record struct {
	Packets, Bytes uint64 // dropped, since its addresses were last set
	comment        string
}

// Record is nil for a TAP that the filter does not know.
func (f *Filter) Record(tap string) (*Record, error) { return f.get(guests, key(tap)) }

// elements lists those of the TAPs that are asked for, out of the list of all: it is
// for a change, no look.
func (f *Filter) elements(of func(tap string) bool) (all []element, err error) {
	for _, s := range f.sets() {
		if _, err := f.GetSetByName(f.table, s.Name); errors.Is(err, unix.ENOENT) {
			continue
		}
		list, err := f.GetSetElements(s)
		if err != nil {
			return nil, fmt.Errorf("list nft set bridge %s %s: %w", Table, s.Name, err)
		}
		for _, e := range list {
			if el := (element{s.Name, string(e.Key)}); len(e.Key) >= ifname && of(el.tap()) {
				all = append(all, el)
			}
		}
	}
	return all, nil
}

// Known lists the records of all TAPs that the table has elements of, and the TAPs of
// them whose elements are not what was last set.
func (f *Filter) Known() (records map[string]Record, altered []string, err error) {
	list, err := f.elements(func(string) bool { return true })
	if err != nil || len(list) == 0 {
		return nil, nil, err
	}
	of := map[string][]element{}
	for _, e := range list {
		is := of[e.tap()]
		if e.set != guests {
			is = append(is, e)
		}
		of[e.tap()] = is
	}
	all, err := f.GetSetElements(f.set(guests))
	if err != nil {
		return nil, nil, fmt.Errorf("list nft set bridge %s %s: %w", Table, guests, err)
	}
	records = map[string]Record{}
	for _, e := range all {
		r := Record{comment: e.Comment}
		if e.Counter != nil {
			r.Packets, r.Bytes = e.Counter.Packets, e.Counter.Bytes
		}
		records[element{guests, string(e.Key)}.tap()] = r
	}
	for tap, is := range of {
		r := records[tap]
		if records[tap] = r; r.comment != comment(is) {
			altered = append(altered, tap)
		}
	}
	slices.Sort(altered)
	return records, altered, nil
}

// get looks one element up. No such, or no such set, is nil.
func (f *Filter) get(set, key string) (*Record, error) {
	attrs, err := request(set, key)
	if err != nil {
		return nil, err
	}
	all, err := f.own.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM, Flags: netlink.Request},
		Data:   append([]byte{unix.NFPROTO_BRIDGE, unix.NFNETLINK_V0, 0, 0}, attrs...), // struct nfgenmsg
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	r := &Record{}
	for _, m := range all {
		err = errors.Join(err, r.parse(m.Data[4:]))
	}
	if err != nil {
		return nil, fmt.Errorf("look up in nft set bridge %s %s: %w", Table, set, err)
	}
	return r, nil
}

// request is for a single element, which the library cannot ask for.
func request(set, key string) ([]byte, error) {
	a := netlink.NewAttributeEncoder()
	a.String(unix.NFTA_SET_ELEM_LIST_TABLE, Table)
	a.String(unix.NFTA_SET_ELEM_LIST_SET, set)
	a.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(a *netlink.AttributeEncoder) error {
		a.Nested(unix.NFTA_LIST_ELEM, func(a *netlink.AttributeEncoder) error {
			a.Nested(unix.NFTA_SET_ELEM_KEY, func(a *netlink.AttributeEncoder) error {
				a.Bytes(unix.NFTA_DATA_VALUE, []byte(key))
				return nil
			})
			return nil
		})
		return nil
	})
	return a.Encode()
}

// parse goes down to the element, and in it to the comment and the counter.
func (r *Record) parse(b []byte) error {
	a, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return err
	}
	a.ByteOrder = binary.BigEndian
	return each(a, func() {
		if a.Type() == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			a.Nested(func(a *netlink.AttributeDecoder) error {
				return each(a, func() { a.Nested(r.element) })
			})
		}
	})
}

func (r *Record) element(a *netlink.AttributeDecoder) error {
	return each(a, func() {
		switch a.Type() {
		case unix.NFTA_SET_ELEM_USERDATA:
			r.comment, _ = userdata.GetString(a.Bytes(), userdata.NFTNL_UDATA_SET_ELEM_COMMENT)
		case unix.NFTA_SET_ELEM_EXPR:
			a.Nested(r.expression)
		}
	})
}

func (r *Record) expression(a *netlink.AttributeDecoder) error {
	return each(a, func() {
		if a.Type() == unix.NFTA_EXPR_DATA {
			a.Nested(r.counter)
		}
	})
}

func (r *Record) counter(a *netlink.AttributeDecoder) error {
	return each(a, func() {
		switch a.Type() {
		case unix.NFTA_COUNTER_BYTES:
			r.Bytes = a.Uint64()
		case unix.NFTA_COUNTER_PACKETS:
			r.Packets = a.Uint64()
		}
	})
}

func each(a *netlink.AttributeDecoder, do func()) error {
	for a.Next() {
		do()
	}
	return a.Err()
}
