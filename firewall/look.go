package firewall

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"uml/settings"
)

// A kind of iptables: two that a kernel can have at once, and both drop.
const (
	inNFT    = "nf_tables"
	inLegacy = "iptables-legacy"
)

// A State is how the rules of one family stand.
type State struct {
	Family string
	Where  string         // "nf_tables", "iptables-legacy"; "": they do not stand whole
	Also   string         // where more of ours is found
	Before int            // rules of others that packets pass before ours
	Counts bool           // forged packets are counted
	Remake string         // commands that make all anew, ours at the top
	seals  []string       // all there are
	hooks  map[string]int // in both, by the chain they lead to
}

// Stands says whether the rules are as they must be.
func (s State) Stands() bool { return s.Where != "" }

// Look looks at what the kernel has, each family of it.
func Look(h *settings.Host) (all []State, err error) {
	n, err := dial()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	for _, f := range families() {
		s, err := n.look(f, h)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// look judges by a seal: an empty chain whose name is a hash of the rules wanted
// and of the rules as the kernel had them when iptables had just made them. The
// kernel's form of a rule differs with the version of iptables, so it cannot be
// told beforehand; but whatever is changed later breaks the seal.
func (n netfilter) look(f family, h *settings.Host) (State, error) {
	s := State{Family: f.String(), hooks: map[string]int{}}
	rules, err := n.nftRules(f)
	if err != nil {
		return s, fmt.Errorf("read %v's table %s of nf_tables: %w", f, table, err)
	}
	if s.see(rules, inNFT) {
		mark := seal(f, h, rules)
		sealed, err1 := n.nftChain(f, mark)
		passed, err2 := n.passed(f)
		if err := errors.Join(err1, err2); err != nil {
			return s, err
		}
		if sealed && passed {
			s.judge(f, mark, rules, inNFT)
		}
	}
	old, chains, err := legacy(f)
	if err != nil {
		return s, err
	}
	if s.see(old, inLegacy) && s.Where == "" {
		if mark := seal(f, h, old); slices.Contains(chains, mark) {
			s.judge(f, mark, old, inLegacy)
		}
	}
	for _, c := range chains {
		if strings.HasPrefix(c, sealing) {
			s.seals = append(s.seals, c)
		}
	}
	return s, nil
}

// see says whether any of the rules is ours.
func (s *State) see(rules []rule, where string) (any bool) {
	for _, r := range rules {
		if r.chain == entry && strings.HasPrefix(r.jump, prefix) {
			s.hooks[r.jump]++
		}
		any = any || r.ours()
	}
	if any {
		s.Also = strings.TrimPrefix(s.Also+", "+where, ", ")
	}
	return any
}

// judge looks at rules whose seal is whole.
func (s *State) judge(f family, mark string, rules []rule, where string) {
	at := slices.IndexFunc(rules, func(r rule) bool { return r.chain == entry && r.jump == guests })
	if at < 0 {
		return
	}
	s.Remake = command{verb: "-X", chain: mark}.text(f) + "; uml-net restore"
	s.Where, s.Also = where, strings.TrimSuffix(strings.TrimSuffix(s.Also, where), ", ")
	for _, r := range rules[:at] {
		if r.chain == entry {
			s.Before++
		}
	}
	inForged := 0
	for _, r := range rules {
		if r.chain == forged {
			inForged++
		}
	}
	s.Counts = inForged == 3
}

// ours are the rules in our chains, and those that lead there.
func (r rule) ours() bool {
	return strings.HasPrefix(r.chain, prefix) || strings.HasPrefix(r.jump, prefix)
}

func seal(f family, h *settings.Host, rules []rule) string {
	sum := sha256.New()
	for _, c := range append(f.commands(h), hooks...) {
		fmt.Fprintln(sum, c.text(f))
	}
	ours := slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return !r.ours() })
	slices.SortStableFunc(ours, func(a, b rule) int { return strings.Compare(a.chain, b.chain) })
	for _, r := range ours {
		fmt.Fprintf(sum, "%q %q ", r.chain, r.jump)
		io.WriteString(sum, r.body+"\n")
	}
	return fmt.Sprintf("%s%x", sealing, sum.Sum(nil)[:8])
}
