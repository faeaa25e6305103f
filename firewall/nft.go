package firewall

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A rule as the kernel has it.
type rule struct {
	chain string
	jump  string // the chain that it leads to
	body  string // all of it but its counters
}

// A netfilter is a netlink socket for nf_tables and ipset, of the calling thread's
// network namespace.
type netfilter map[int]*nl.SocketHandle

// dial is nil where the kernel has no netfilter netlink, and so no nf_tables.
func dial() (netfilter, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_NETFILTER)
	if none(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return netfilter{unix.NETLINK_NETFILTER: {Socket: s}}, nil
}

func (n netfilter) Close() {
	if n != nil {
		n[unix.NETLINK_NETFILTER].Close()
	}
}

// request repeats a dump that a change elsewhere interrupted.
func (n netfilter) request(subsystem, kind int, flags uint16, f family, attrs ...*nl.RtAttr) (all [][]byte, err error) {
	if n == nil { // see dial
		return nil, unix.EPROTONOSUPPORT
	}
	for range 20 {
		r := &nl.NetlinkRequest{
			NlMsghdr: unix.NlMsghdr{Len: unix.SizeofNlMsghdr, Type: uint16(subsystem<<8 | kind), Flags: unix.NLM_F_REQUEST | flags},
			Sockets:  n,
		}
		r.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(f)})
		for _, a := range attrs {
			r.AddData(a)
		}
		all, err = r.Execute(unix.NETLINK_NETFILTER, 0)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// none says that the kernel, or this namespace, has nothing of the kind.
func none(err error) bool {
	for _, e := range []error{unix.ENOENT, unix.EINVAL, unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// nftRules are those of our chains in table raw, and of the one that leads there:
// others may have thousands in the table.
func (n netfilter) nftRules(f family) (all []rule, err error) {
	for _, chain := range []string{entry, guests, forged, outside, guard} {
		rules, err := n.nftChainRules(f, chain)
		if err != nil {
			return nil, err
		}
		all = append(all, rules...)
	}
	return all, nil
}

func (n netfilter) nftChainRules(f family, chain string) (all []rule, err error) {
	msgs, err := n.request(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, f,
		nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(table)), nl.NewRtAttr(unix.NFTA_RULE_CHAIN, nl.ZeroTerminated(chain)))
	if none(err) {
		return nil, nil
	}
	for _, m := range msgs {
		attrs := attributes(m[nl.SizeofNfgenmsg:])
		r := rule{chain: text(attrs[unix.NFTA_RULE_CHAIN])}
		if text(attrs[unix.NFTA_RULE_TABLE]) != table || r.chain != chain { // an older kernel does not filter
			continue
		}
		list, _ := nl.ParseRouteAttr(attrs[unix.NFTA_RULE_EXPRESSIONS])
		for _, e := range list {
			r.take(attributes(e.Value))
		}
		all = append(all, r)
	}
	return all, err
}

// take adds an expression.
func (r *rule) take(expr map[uint16][]byte) {
	name, data := text(expr[unix.NFTA_EXPR_NAME]), expr[unix.NFTA_EXPR_DATA]
	if name == "counter" {
		return
	}
	if name == "immediate" {
		verdict := attributes(attributes(attributes(data)[unix.NFTA_IMMEDIATE_DATA])[unix.NFTA_DATA_VERDICT])
		r.jump += text(verdict[unix.NFTA_VERDICT_CHAIN])
	}
	r.body += name + "\x00" + string(data)
}

// passed says whether packets pass through what iptables-nft's table has: it may be
// dormant, with all that is in it, or hang at another hook.
func (n netfilter) passed(f family) (bool, error) {
	name := nl.NewRtAttr(unix.NFTA_TABLE_NAME, nl.ZeroTerminated(table))
	found, err := n.request(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETTABLE, 0, f, name)
	if err != nil || word(one(found)[unix.NFTA_TABLE_FLAGS])&unix.NFT_TABLE_F_DORMANT != 0 {
		return false, unless(err)
	}
	found, err = n.request(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETCHAIN, 0, f,
		nl.NewRtAttr(unix.NFTA_CHAIN_TABLE, nl.ZeroTerminated(table)), nl.NewRtAttr(unix.NFTA_CHAIN_NAME, nl.ZeroTerminated(entry)))
	hook := attributes(one(found)[unix.NFTA_CHAIN_HOOK])
	at, priority := hook[unix.NFTA_HOOK_HOOKNUM], int32(word(hook[unix.NFTA_HOOK_PRIORITY]))
	return at != nil && word(at) == unix.NF_INET_PRE_ROUTING && priority == rawPriority, unless(err)
}

// rawPriority is NF_IP_PRI_RAW, before connection tracking.
const rawPriority = -300

// one is the attributes of an answer that is no list.
func one(msgs [][]byte) map[uint16][]byte {
	if len(msgs) == 0 {
		return nil
	}
	return attributes(msgs[0][nl.SizeofNfgenmsg:])
}

// unless forgives that there is none.
func unless(err error) error {
	if none(err) {
		return nil
	}
	return err
}

// nftChain says whether the table has a chain.
func (n netfilter) nftChain(f family, name string) (bool, error) {
	_, err := n.request(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETCHAIN, 0, f,
		nl.NewRtAttr(unix.NFTA_CHAIN_TABLE, nl.ZeroTerminated(table)), nl.NewRtAttr(unix.NFTA_CHAIN_NAME, nl.ZeroTerminated(name)))
	if none(err) {
		return false, nil
	}
	return err == nil, err
}

// nftSeals are all seals of the table, old ones too.
func (n netfilter) nftSeals(f family) (all []string, err error) {
	msgs, err := n.request(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, f)
	if none(err) {
		return nil, nil
	}
	for _, m := range msgs {
		attrs := attributes(m[nl.SizeofNfgenmsg:])
		if name := text(attrs[unix.NFTA_CHAIN_NAME]); text(attrs[unix.NFTA_CHAIN_TABLE]) == table && strings.HasPrefix(name, sealing) {
			all = append(all, name)
		}
	}
	return all, err
}

func attributes(b []byte) map[uint16][]byte {
	all := map[uint16][]byte{}
	list, err := nl.ParseRouteAttr(b)
	if err != nil {
		return all
	}
	for _, a := range list {
		all[a.Attr.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = a.Value
	}
	return all
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// word is one of 32 bits, 0 if there is none.
func word(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func big(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
