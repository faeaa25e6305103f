package radvd

import (
	"time"

	"uml/settings"
)

// A State is what uml-check looks at.
type State struct {
	Interfaces int // that are to be advertised on, the administrator's too
	Differs    bool
	Installed  bool
	Running    bool  // a radvd that reads the file
	Faults     error // of single machines
}

// Look compares the file with the settings, and changes nothing.
func Look(machines string, h *settings.Host) (*State, error) {
	f, err := find(h.RadvdConf)
	if err != nil {
		return nil, err
	}
	c, err := f.compare(machines, time.Now())
	if err != nil {
		return nil, err
	}
	s := &State{Interfaces: c.interfaces, Differs: c.differs(), Installed: program() != "", Faults: c.faults}
	s.Running, err = f.tell(0)
	return s, err
}
