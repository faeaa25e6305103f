package netsetup

import (
	"context"
	"strings"

	"uml/firewall"
	"uml/settings"
)

// rules is one step, for all guests of the host: what it does depends on what
// stands when its turn has come among a hundred that want the same.
func (l *look) rules() ([]Step, error) { return rules(l.h) }

func rules(h *settings.Host) ([]Step, error) {
	lines, err := firewall.Plan(h)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	return []Step{{strings.Join(lines, "\n"), false, func(*conn) error {
		return firewall.Restore(context.Background(), h)
	}}}, nil
}

// restoreRules gives running guests' host back what a flush of its firewall took.
func (g *Garbage) restoreRules() error {
	for _, o := range g.ours {
		if o.TAP && o.runs() {
			steps, err := rules(g.h)
			g.steps = append(g.steps, steps...)
			return err
		}
	}
	return nil
}
