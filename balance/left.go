package balance

import (
	"fmt"

	"uml/fault"
)

// A left is a guest that is left out, and why.
type left struct {
	name, dir, why string
	plain          bool // nothing is amiss: it takes no part, or boots
}

func (l left) String() string { return fmt.Sprintf("%s: left out: %s", l.name, l.why) }

// sayLeft says it of those that were to take part, once a run.
func (o Options) sayLeft(all []left) {
	for _, l := range all {
		if !l.plain {
			o.Log(l.dir)(fault.LeftOut, l.String())
		}
	}
}
