package metrics

import (
	"errors"

	"golang.org/x/sys/unix"

	"uml/firewall"
	"uml/guard"
	"uml/roster"
	"uml/usage"
)

// machine puts one's numbers; t is what it has taken, if it is up.
func (l *look) machine(m *roster.Machine, t usage.Total, up bool) {
	name := l.name(m)
	if name == "" {
		return
	}
	l.put(activated, one(m.Activated), name)
	l.put(state, 1, name, m.State)
	l.put(faults, float64(len(m.Faults)), name)
	l.counts(m, name)
	if m.Promised > 0 {
		l.put(promised, float64(m.Promised), name)
	}
	var size, allocated float64 // a sparse file has any size
	for _, d := range m.Discs {
		size, allocated = size+float64(d.Size), allocated+float64(d.Allocated)
	}
	l.put(discSize, size, name)
	l.put(discUsed, allocated, name)
	if n, ok := l.forged[m.TAP]; m.TAP != "" && (ok || !l.blind) {
		l.put(forged, float64(n), name)
	}
	if !up {
		return
	}
	if m.Since != nil {
		l.put(startTime, float64(m.Since.Unix()), name)
	}
	l.put(resident, float64(m.Resident), name)
	l.known(swapped, float64(t.Swapped), name)
	l.known(cpu, t.CPU, name)
	l.known(discRead, float64(t.Read), name)
	l.known(discWritten, float64(t.Written), name)
	l.known(discReads, float64(t.Reads), name)
	l.known(discWrites, float64(t.Writes), name)
	l.known(inBytes, float64(t.In.Bytes), name)
	l.known(inPackets, float64(t.In.Packets), name)
	l.known(outBytes, float64(t.Out.Bytes), name)
	l.known(outPackets, float64(t.Out.Packets), name)
}

func (l *look) counts(m *roster.Machine, name string) {
	l.put(starts, float64(m.Counts.Starts), name)
	for id, n := range m.Counts.Refused {
		l.put(refusals, float64(n), name, string(id))
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// routed adds what the host's firewall dropped of routed guests, by one list for all.
func (l *look) routed() error {
	all, err := firewall.Forged()
	l.blind = l.blind || err != nil
	for iface, sources := range all {
		for _, s := range sources {
			l.forged[iface] += s.Packets
		}
	}
	return err
}

// bridged adds what the filter of bridges dropped, by one list for all.
func (l *look) bridged() error {
	records, err := filtered()
	if errors.Is(err, unix.ENOENT) { // taken away meanwhile
		err = nil
	}
	l.blind = l.blind || err != nil
	for tap, r := range records {
		l.forged[tap] += r.Packets
	}
	return err
}

func filtered() (map[string]guard.Record, error) {
	f, err := guard.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records, _, err := f.Known()
	return records, err
}
