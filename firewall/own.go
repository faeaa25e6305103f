package firewall

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The guests' own prefixes are elements of a set that is looked at only for packets
// from elsewhere whose source is not routed there. So one that was left behind harms
// nobody: with its guest gone, the way back leads to where the packet came from.
const (
	ownType     = "hash:net"
	ownRevision = 2
	ownSize     = 1 << 20
)

func (f family) own() string { return map[family]string{four: "uml-own4", six: "uml-own6"}[f] }

func familyOf(p netip.Prefix) family {
	if p.Addr().Is4() {
		return four
	}
	return six
}

// Owned says which of the prefixes are known as guests', and which could be: none
// where there is no set, unless it is to be made.
func Owned(all []netip.Prefix, made bool) (known, unknown []netip.Prefix, err error) {
	n, err := dial()
	if err != nil {
		return nil, nil, err
	}
	defer n.Close()
	for _, p := range all {
		f := familyOf(p)
		_, err := n.ipset(nl.IPSET_CMD_TEST, unix.NLM_F_ACK, f, f.own(), entryOf(p))
		switch {
		case err == nil:
			known = append(known, p)
		case errors.Is(err, errExist), errors.Is(err, unix.ENOENT) && made:
			unknown = append(unknown, p)
		case !none(err):
			return nil, nil, fmt.Errorf("%s: %w", OwnText("test", p), err)
		}
	}
	return known, unknown, nil
}

// AllOwned are all prefixes that are known as guests'.
func AllOwned() (all []netip.Prefix, err error) {
	n, err := dial()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	for _, f := range families() {
		some, err := n.elements(f, f.own())
		if err != nil {
			return nil, fmt.Errorf("list ipset %s: %w", f.own(), err)
		}
		for _, e := range some {
			bits := int(e.prefix)
			if bits == 0 { // the kernel leaves a whole address's out
				bits = e.Address.BitLen()
			}
			all = append(all, netip.PrefixFrom(e.Address, bits))
		}
	}
	return all, nil
}

// OwnText is the command of ipset(8).
func OwnText(verb string, p netip.Prefix) string {
	return fmt.Sprintf("ipset -exist %s %s %v", verb, familyOf(p).own(), p)
}

// Own makes a prefix known as a guest's, and Disown makes it unknown. Where there is
// no set, neither does anything.
func Own(p netip.Prefix) error { return change(nl.IPSET_CMD_ADD, p) }

func Disown(p netip.Prefix) error { return change(nl.IPSET_CMD_DEL, p) }

func change(kind int, p netip.Prefix) error {
	n, err := dial()
	if err != nil {
		return err
	}
	defer n.Close()
	f := familyOf(p)
	_, err = n.ipset(kind, unix.NLM_F_ACK, f, f.own(), entryOf(p))
	if none(err) || absent(err) {
		return nil
	}
	return err
}
