package firewall

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The library's ipset knows neither forceadd nor errors of ipset's own.

const (
	withCounters = 1 << 3 // IPSET_FLAG_WITH_COUNTERS
	withForceadd = 1 << 5 // IPSET_FLAG_WITH_FORCEADD

	errExist = unix.Errno(4103) // IPSET_ERR_EXIST: to a deletion or a test, that there is none
)

func absent(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, errExist) }

func (n netfilter) ipset(kind int, flags uint16, f family, name string, attrs ...*nl.RtAttr) ([][]byte, error) {
	attrs = append([]*nl.RtAttr{
		nl.NewRtAttr(nl.IPSET_ATTR_PROTOCOL, []byte{nl.IPSET_PROTOCOL}),
		nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(name)),
	}, attrs...)
	return n.request(unix.NFNL_SUBSYS_IPSET, kind, flags, f, attrs...)
}

// createText is the commands of create.
func (f family) createText() []string {
	inet := map[family]string{four: "inet", six: "inet6"}[f]
	return []string{
		fmt.Sprintf("ipset -exist create %s %s family %s maxelem %d", f.own(), ownType, inet, ownSize),
		fmt.Sprintf("ipset -exist create %s %s family %s counters forceadd maxelem %d timeout %d", f.counts(), CountType, inet, countSize, countTimeout),
	}
}

// create makes both sets, or finds them made alike.
func (n netfilter) create(f family) error {
	own := options(ownSize)
	counts := options(countSize)
	counts.AddRtAttr(nl.IPSET_ATTR_TIMEOUT|unix.NLA_F_NET_BYTEORDER, big(countTimeout))
	counts.AddRtAttr(nl.IPSET_ATTR_CADT_FLAGS|unix.NLA_F_NET_BYTEORDER, big(withCounters|withForceadd))
	return errors.Join(n.createSet(f, f.own(), ownType, ownRevision, own), n.createSet(f, f.counts(), CountType, countRevision, counts))
}

func options(size uint32) *nl.RtAttr {
	data := nl.NewRtAttr(nl.IPSET_ATTR_DATA|unix.NLA_F_NESTED, nil)
	data.AddRtAttr(nl.IPSET_ATTR_MAXELEM|unix.NLA_F_NET_BYTEORDER, big(size))
	return data
}

func (n netfilter) createSet(f family, name, kind string, revision byte, data *nl.RtAttr) error {
	_, err := n.ipset(nl.IPSET_CMD_CREATE, unix.NLM_F_ACK|unix.NLM_F_CREATE, f, name,
		nl.NewRtAttr(nl.IPSET_ATTR_TYPENAME, nl.ZeroTerminated(kind)),
		nl.NewRtAttr(nl.IPSET_ATTR_REVISION, []byte{revision}),
		nl.NewRtAttr(nl.IPSET_ATTR_FAMILY, []byte{byte(f)}),
		data)
	return err
}

// entryOf is the data of an element.
func entryOf(p netip.Prefix) *nl.RtAttr {
	data := nl.NewRtAttr(nl.IPSET_ATTR_DATA|unix.NLA_F_NESTED, nil)
	kind := nl.IPSET_ATTR_IPADDR_IPV4
	if p.Addr().Is6() {
		kind = nl.IPSET_ATTR_IPADDR_IPV6
	}
	data.AddRtAttr(nl.IPSET_ATTR_IP|unix.NLA_F_NESTED, nil).AddRtAttr(kind|unix.NLA_F_NET_BYTEORDER, p.Addr().AsSlice())
	data.AddRtAttr(nl.IPSET_ATTR_CIDR, []byte{byte(p.Bits())})
	return data
}
