package firewall

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-iptables/iptables"

	"uml/fault"
	"uml/settings"
)

// lockWait is how many seconds a command of iptables waits for others' to end.
const lockWait = 5

// Plan is the commands that Restore would run now, but for the seal, which holds
// what the kernel makes of them.
func Plan(h *settings.Host) (lines []string, err error) {
	states, err := Look(h)
	if err != nil {
		return nil, err
	}
	for i, f := range families() {
		if states[i].Stands() {
			continue
		}
		lines = append(lines, f.createText()...)
		for _, c := range states[i].build(f, h) {
			lines = append(lines, c.text(f))
		}
	}
	return lines, nil
}

// Restore makes the rules that do not stand, and leaves those alone that do. Our
// chains are made anew; while guests pass through them meanwhile, all that guests
// send is dropped. So ctx ends the wait for others that do the same, and no more: who
// stopped half-way would leave the guests cut off.
func Restore(ctx context.Context, h *settings.Host) error {
	lock, err := takeLock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	n, err := dial()
	if err != nil {
		return err
	}
	defer n.Close()
	var errs []error
	for _, f := range families() { // one that fails does not keep the other from standing
		errs = append(errs, n.restore(f, h))
	}
	return errors.Join(errs...)
}

// restore tries again where it failed behind the guard.
func (n netfilter) restore(f family, h *settings.Host) error {
	guarded := false
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		err := n.remake(f, h, &guarded)
		if err == nil || !guarded {
			return err
		}
		if pause > time.Second {
			return fmt.Errorf("%w; the rules are half made, and all %v that guests send is dropped until they stand (try: uml-net restore)", err, f)
		}
		time.Sleep(pause)
	}
}

// remake says also whether the guard stands, when it fails.
func (n netfilter) remake(f family, h *settings.Host, guarded *bool) error {
	s, err := n.look(f, h)
	if err != nil || s.Stands() {
		return err
	}
	*guarded = s.hooks[guard] > 0
	more, err := n.nftSeals(f)
	if err != nil {
		return err
	}
	s.seals = append(s.seals, more...)
	p, err := newProgram(f)
	if err != nil {
		return err
	}
	sets := map[bool]bool{true: n.create(f) == nil, false: true}
	for _, c := range s.build(f, h) {
		if !sets[c.set] {
			continue
		}
		if err := p.run(c); err != nil && !c.set {
			return err
		}
		*guarded = *guarded && c.verb != "-F" || c.verb == "-I" && c.jump() == guard
	}
	return n.seal(p, h)
}

// build is all commands that mend what there is. While guests pass through chains of
// ours the guard stands before these. No rule is named before the chain that it leads
// to is there, in this kind of iptables too.
func (s State) build(f family, h *settings.Host) (all []command) {
	guards := s.hooks[guard]
	if s.hooks[guests] > 0 {
		guards++
	}
	if guards > 0 {
		all = append(all, command{verb: "-N", chain: guard}, appended(guard, "-j DROP"))
	}
	if s.hooks[guests] > 0 {
		all = append(all, guardHook)
	}
	for _, c := range s.seals {
		all = append(all, command{verb: "-X", chain: c})
	}
	all = append(all, f.commands(h)...)
	for _, c := range hooks {
		all = append(all, removed(c, s.hooks[c.jump()])...)
	}
	all = append(all, hooks...)
	if guards > 0 {
		all = append(append(all, removed(guardHook, guards)...), command{verb: "-F", chain: guard}, command{verb: "-X", chain: guard})
	}
	return all
}

func removed(c command, times int) (all []command) {
	c.verb = "-D"
	for range times {
		all = append(all, c)
	}
	return all
}

// seal looks at what the kernel has now, and marks it as what it should be.
func (n netfilter) seal(p *program, h *settings.Host) error {
	rules, err := n.nftRules(p.family)
	if err != nil {
		return err
	}
	old, _, err := legacy(p.family)
	if err != nil {
		return err
	}
	for _, list := range [][]rule{rules, old} { // of one kind, the other may have old ones
		if !whole(list) {
			continue
		}
		mark := command{verb: "-N", chain: seal(p.family, h, list)}
		if err := p.run(mark); err != nil {
			return err
		}
		s, err := n.look(p.family, h)
		if err != nil || s.Stands() {
			return err
		}
		mark.verb = "-X"
		if err := p.run(mark); err != nil {
			return err
		}
	}
	passed, err := n.passed(p.family)
	if err != nil {
		return err
	}
	if whole(rules) && !passed {
		inet := map[family]string{four: "ip", six: "ip6"}[p.family]
		return fault.RulesFailed.Permanent("nf_tables: table %s %s is dormant, or its chain %s not at the hook of iptables-nft, and guests can forge addresses (try: nft add table %[1]s %[2]s; uml-net restore)", inet, table, entry)
	}
	return fault.RulesFailed.Temporary("%v: the rules do not stand after %s made them (somebody else changes them)", p.family, p.Path)
}

// whole says whether packets of guests come to where forged ones are dropped.
func whole(rules []rule) bool {
	has := func(chain, jump string) bool {
		return slices.ContainsFunc(rules, func(r rule) bool { return r.chain == chain && r.jump == jump })
	}
	return has(entry, guests) && has(guests, forged) && has(forged, "") && has(entry, outside)
}

// A program is an iptables.
type program struct {
	*iptables.IPTables
	family family
	Path   string
}

// Ready says what Restore lacks.
func Ready() error {
	var errs []error
	for _, f := range families() {
		_, err := f.find()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// find looks for iptables where a supervisor's PATH may not lead, too.
func (f family) find() (path string, err error) {
	path, err = exec.LookPath(f.program())
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if err != nil {
			path, err = exec.LookPath(dir + "/" + f.program())
		}
	}
	if err != nil {
		return "", fault.ProgramMissing.Permanent("%s: there is no such program, and the rules that keep guests from forging addresses do not stand (try: apt install iptables)", f.program())
	}
	return path, nil
}

func newProgram(f family) (*program, error) {
	path, err := f.find()
	if err != nil {
		return nil, err
	}
	protocol := map[family]iptables.Protocol{four: iptables.ProtocolIPv4, six: iptables.ProtocolIPv6}[f]
	t, err := iptables.New(iptables.IPFamily(protocol), iptables.Path(path), iptables.Timeout(lockWait))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &program{t, f, path}, nil
}

func (p *program) run(c command) (err error) {
	switch c.verb {
	case "-N":
		err = p.ClearChain(table, c.chain)
	case "-A":
		err = p.Append(table, c.chain, c.rule...)
	case "-I":
		err = p.Insert(table, c.chain, 1, c.rule...)
	case "-D":
		err = p.DeleteIfExists(table, c.chain, c.rule...)
	case "-X":
		err = gone(p.DeleteChain(table, c.chain))
	case "-F":
		err = p.ClearChain(table, c.chain)
	}
	if err == nil {
		return nil
	}
	failed := (*iptables.Error)(nil)
	if errors.As(err, &failed) { // its text holds the command, and what iptables said, of several lines
		err = errors.New(strings.Join(strings.Fields(err.Error()[strings.LastIndex(err.Error(), "]:")+2:]), " "))
	}
	return fmt.Errorf("%s: %w", c.text(p.family), err)
}

// gone forgives taking away what is not there: a seal of the other kind of
// iptables.
func gone(err error) error {
	failed := (*iptables.Error)(nil)
	if errors.As(err, &failed) && failed.ExitStatus() == 1 {
		return nil
	}
	return err
}
