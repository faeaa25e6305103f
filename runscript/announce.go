package runscript

import (
	"uml/announce"
	"uml/fault"
	"uml/netsetup"
)

// announce tells the network of what Up published. That nobody hears it is no
// reason not to go on: entries of others grow old by themselves.
func (o Options) announce(p netsetup.News) *announce.Repeater {
	r, err := announce.Say(announce.Interface(p.On), p.Addresses)
	if err != nil {
		o.Say(fault.AnnounceFailed, "warning: "+err.Error())
	}
	return r
}
