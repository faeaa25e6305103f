package guard

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"uml/fault"
)

// A Filter is the table, seen through netlink sockets of the calling thread's
// network namespace: the library's, and one for the look at a single element, which
// it lacks.
type Filter struct {
	*nftables.Conn
	own   *netlink.Conn
	table *nftables.Table
}

// Open opens the sockets. It says nothing of whether the table is there.
func Open() (*Filter, error) {
	// A change is one message to the kernel, however many addresses a guest has.
	c, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetWriteBuffer(16 << 20)
	}))
	if err != nil {
		return nil, unsupported(fmt.Errorf("open netlink of nftables: %w", err))
	}
	own, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		c.CloseLasting()
		return nil, unsupported(fmt.Errorf("open netlink of nftables: %w", err))
	}
	return &Filter{c, own, &nftables.Table{Family: nftables.TableFamilyBridge, Name: Table}}, nil
}

// Close closes the sockets.
func (f *Filter) Close() {
	f.CloseLasting()
	f.own.Close()
}

// first of all: what an administrator's own tables drop is then never counted as
// theirs.
const priority nftables.ChainPriority = -400

func (f *Filter) base() *nftables.Chain {
	policy := nftables.ChainPolicyAccept
	return &nftables.Chain{
		Table:    f.table,
		Name:     hook,
		Type:     nftables.ChainTypeFilter,
		Hooknum:  nftables.ChainHookPrerouting,
		Priority: nftables.ChainPriorityRef(priority),
		Policy:   &policy,
	}
}

func (f *Filter) sets() []*nftables.Set {
	hash := func(name string, types ...nftables.SetDatatype) *nftables.Set {
		s := &nftables.Set{Table: f.table, Name: name, KeyType: types[0], Counter: name == guests, KeyByteOrder: binaryutil.NativeEndian}
		if len(types) > 1 {
			s.KeyType, s.Concatenation = nftables.MustConcatSetType(types...), true
		}
		return s
	}
	all := []*nftables.Set{
		hash(guests, nftables.TypeIFName),
		hash(speaks, nftables.TypeIFName, nftables.TypeEtherAddr, nftables.TypeEtherType),
		hash(owns4, nftables.TypeIFName, nftables.TypeIPAddr),
		hash(owns6, nftables.TypeIFName, nftables.TypeIP6Addr),
	}
	for i, s := range all {
		s.ID = uint32(i) + 1 // the library else counts in a variable that all its users share
	}
	return all
}

// Amiss says what of the table is not as Install makes it, "" for nothing. What the
// kernel has is compared expression by expression, so it costs some look-ups, the
// same however many guests there are.
func (f *Filter) Amiss() (string, error) {
	t, err := f.ListTableOfFamily(Table, nftables.TableFamilyBridge)
	if errors.Is(err, unix.ENOENT) {
		return "it is not there", nil
	}
	if err != nil {
		return "", unsupported(fmt.Errorf("look up nft table bridge %s: %w", Table, err))
	}
	if t.Flags != 0 {
		return "it is dormant, or another program's", nil
	}
	for _, c := range chains() {
		if why, err := f.amissIn(c); why != "" || err != nil {
			return why, err
		}
	}
	return "", nil
}

func (f *Filter) amissIn(c chain) (string, error) {
	if c.name == hook {
		is, err := f.ListChain(f.table, hook)
		if err != nil {
			return "chain " + hook + " is not there", nil
		}
		if want := f.base(); is.Hooknum == nil || *is.Hooknum != *want.Hooknum || *is.Priority != *want.Priority || is.Policy == nil || *is.Policy != *want.Policy {
			return "chain " + hook + " is hooked in another way", nil
		}
	}
	rules, err := f.GetRules(f.table, &nftables.Chain{Name: c.name})
	if err != nil {
		return "", fmt.Errorf("list nft chain bridge %s %s: %w", Table, c.name, err)
	}
	if len(rules) != len(c.rules) {
		return fmt.Sprintf("chain %s has %d rules in place of %d", c.name, len(rules), len(c.rules)), nil
	}
	for i, r := range rules {
		if !reflect.DeepEqual(r.Exprs, []expr.Any(c.rules[i])) {
			return fmt.Sprintf("rule %d of chain %s was changed", i+1, c.name), nil
		}
	}
	return "", nil
}

// Install makes the table whole in one step, whatever is there of it; elements stay.
func (f *Filter) Install() error {
	f.AddTable(f.table) // takes away the flag dormant, too
	for _, s := range f.sets() {
		if err := f.AddSet(s, nil); err != nil {
			return err
		}
	}
	all := chains()
	for _, c := range all {
		if c.name == hook {
			f.AddChain(f.base())
		} else {
			f.AddChain(&nftables.Chain{Table: f.table, Name: c.name})
		}
	}
	for _, c := range all {
		in := &nftables.Chain{Table: f.table, Name: c.name}
		f.FlushChain(in)
		for _, r := range c.rules {
			f.AddRule(&nftables.Rule{Table: f.table, Chain: in, Exprs: r})
		}
	}
	err := f.Flush()
	if errors.Is(err, unix.EEXIST) {
		return fault.RulesFailed.Permanent("nft table bridge %s has a set or chain of another kind (try: nft delete table bridge %s; uml-net up each bridged machine)", Table, Table)
	}
	if err != nil {
		return unsupported(fmt.Errorf("make nft table bridge %s: %w", Table, err))
	}
	return nil
}

func unsupported(err error) error {
	for _, no := range []error{unix.EPROTONOSUPPORT, unix.EOPNOTSUPP, unix.EAFNOSUPPORT} {
		if errors.Is(err, no) {
			return fault.RulesFailed.Permanent("%w: this host's kernel cannot filter what a bridge forwards (it needs Linux 5.12 with CONFIG_NF_TABLES_BRIDGE)", err)
		}
	}
	return err
}
