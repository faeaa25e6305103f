package job

import "net/netip"

// A Fit makes a copy of a template, or of another guest, a guest of its own
// (paper 2.4). What is nil or empty in it is left as it is.
type Fit struct {
	Name      string    // host name
	Mounts    *Mounts   // fstab
	Network   *Network  // without a device: loopback alone
	DNS       *DNS      // resolv.conf
	Terminals *[]string // that somebody can log in at, and no others: tty1, ttyS0
	Fresh     *Fresh
	Root      *Root
}

// Mounts are the machine's block devices as the guest has them.
type Mounts struct {
	Root  string // /dev/ubda
	Swap  string // /dev/ubdp; "": none
	Discs []string
}

// A Network is the guest's end of it.
type Network struct {
	Device    string         // vec0, or eth0 of the old driver
	Addresses []netip.Prefix // as they stand on the device: of a routed guest 192.0.2.20/32
	Gateway   netip.Addr     // of IPv4; not valid: the default route is the device itself, where the host answers for all
	DHCP      bool           // IPv4 comes from a server of the segment
	Auto6     bool           // IPv6 and its default route come from a router's advertisements
}

// DNS is who resolves names.
type DNS struct {
	Servers []netip.Addr
	Search  []string
}

// Fresh is what no two guests may have in common. With it go the traces of the one that was
// copied: logs, histories, leases, package lists, seeds.
type Fresh struct {
	MachineID string // 32 hexadecimal digits (machine-id(5))
	HostKeys  []HostKey
}

// A HostKey is one that sshd shows. Of several the guest gets those of the kinds that it had.
type HostKey struct {
	Kind    string // ed25519, ecdsa, rsa
	Private string // OpenSSH's own format
	Public  string // one line
}

// Root is how the guest's administrator gets in.
type Root struct {
	Password string   // crypt(3) hash, or * for none; "": as it is
	Day      int      // of the change, since 1970-01-01
	Keys     []string // lines of authorized_keys, added to those that are there
}

// Fitted is what of it the guest had a place for.
type Fitted struct {
	Network  string   `json:"network,omitempty"`   // what configures it: ifupdown, systemd-networkd, netplan, busybox
	HostKeys []string `json:"host_keys,omitempty"` // the kinds that it has
	Init     string   `json:"init,omitempty"`      // systemd, sysvinit, openrc, busybox
	Cloud    bool     `json:"cloud,omitempty"`     // a NoCloud seed was written
	Notes    []string `json:"notes,omitempty"`     // what could not be done, a sentence each
}
