package kernel

import (
	"uml/fault"
	"uml/settings"
)

// Tuntap says whether the old network driver can use a TAP; it can be built with
// other transports alone. Its name is searched for at each call, in some 0.1 ms:
// only a machine without the vector driver needs to know.
func (i *Image) Tuntap() (bool, error) {
	if !i.Legacy {
		return false, nil
	}
	return i.Contains("tuntap\x00", ".rodata")
}

// Inherits says whether the vector driver can be given a descriptor; the first
// ones could not. The text is what it says of a bad one.
func (i *Image) Inherits() (bool, error) {
	if !i.Vector {
		return false, nil
	}
	return i.Contains("fd open: bad or missing fd argument", ".rodata")
}

// Transport is the driver to use: the wanted one, for Auto the best of those that
// the image has, vector first. One that it lacks is a permanent fault.
func (i *Image) Transport(want settings.Transport) (settings.Transport, error) {
	if want == settings.FD {
		inherits, err := i.Inherits()
		if err == nil && !inherits {
			err = fault.KernelBad.Permanent("has no vector driver that inherits a descriptor (set transport to auto)")
		}
		if err != nil {
			return 0, err
		}
		return settings.FD, nil
	}
	if i.Vector && want != settings.Tuntap {
		return settings.Vector, nil
	}
	if want == settings.Vector {
		return 0, fault.KernelBad.Permanent("has no vector driver (set transport to auto, or build it with CONFIG_UML_NET_VECTOR)")
	}
	tuntap, err := i.Tuntap()
	if err != nil || tuntap {
		return settings.Tuntap, err
	}
	if want == settings.Tuntap {
		return 0, fault.KernelBad.Permanent("has no tuntap driver (set transport to auto; from 6.16 on there is only the vector driver)")
	}
	return 0, fault.KernelBad.Permanent("has no driver for a TAP (set net to none, or build it with CONFIG_UML_NET_VECTOR)")
}
