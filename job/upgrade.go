package job

import "net/netip"

// Upgrade brings the packages of the filesystem's distribution up to date, from its own
// mirrors, through the guest's network device.
type Upgrade struct {
	Address netip.Addr   // IPv4 of the guest; the host answers for all others on the link
	DNS     []netip.Addr // who resolves names meanwhile
}
