// Package metrics says of all machines what a monitoring system keeps: how they stand,
// what they take, what was refused. Names and units follow Prometheus' conventions.
//
// It reads what packages roster and usage read, nothing from a guest, and starts and locks
// nothing. The only labels that grow with machines are their names; reasons are a list of
// the suite's own. What is not known is left out, never 0.
//
// Not kept: how long a guest took to boot, of which nothing of ours is told.
package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"uml/fault"
	"uml/memory"
	"uml/pace"
	"uml/pressure"
	"uml/roster"
	"uml/usage"
	"uml/version"
)

// A Collector looks anew when it is asked.
type Collector struct {
	Machines string // machines root
	Service  string // directory of activated machines
	Say      func(error)
}

// Describe is of prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range all {
		ch <- m.Desc
	}
}

// Collect is of prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.look() {
		ch <- m
	}
}

func (c *Collector) look() []prometheus.Metric {
	began := time.Now()
	l := &look{say: c.Say, seen: map[string]bool{}, forged: map[string]uint64{}}
	machines, listed := l.machines(c)
	l.part("filter", l.routed())
	l.part("bridge", l.bridged())
	totals := usage.Totals(machines)
	count, sum := map[string]float64{}, 0.0
	for _, m := range machines {
		count[m.State]++
		t, up := totals[m.Dir]
		if up {
			sum += float64(m.Promised)
		}
		l.machine(m, t, up)
	}
	if listed {
		for _, s := range roster.States {
			l.put(guests, count[s], s)
		}
		l.put(promisedUp, sum)
	}
	l.host()
	l.put(lookTime, float64(began.UnixMilli())/1000)
	l.put(lookTook, time.Since(began).Seconds())
	return l.all
}

// A look is one pass over all machines.
type look struct {
	all    []prometheus.Metric
	say    func(error)
	seen   map[string]bool   // machines
	forged map[string]uint64 // by interface
	blind  bool              // not all of that could be read
}

func (l *look) put(m metric, value float64, labels ...string) {
	l.all = append(l.all, prometheus.MustNewConstMetric(m.Desc, m.kind, value, labels...))
}

// known leaves out what is not known, a number below 0.
func (l *look) known(m metric, value float64, labels ...string) {
	if value >= 0 {
		l.put(m, value, labels...)
	}
}

// part says whether one could be read, and what the matter is.
func (l *look) part(name string, err error) {
	ok := 1.0
	if err != nil {
		ok = 0
		l.say(err)
	}
	l.put(lookWhole, ok, name)
}

func (l *look) machines(c *Collector) (machines []*roster.Machine, listed bool) {
	dirs, err := roster.Dirs(c.Machines)
	if err != nil {
		l.part("machines", err)
		return nil, false
	}
	round := roster.NewRound(c.Machines, c.Service)
	round.Counting = true
	machines, err = round.Look(dirs, true)
	l.part("machines", err)
	return machines, true
}

func (l *look) host() {
	l.put(build, 1, version.This())
	if size, err := memory.OfHost(); err == nil {
		l.put(hostMemory, float64(size))
	}
	if p, err := pace.Look(pace.Dir); err == nil {
		l.put(waiting, float64(len(p.Waiting)))
	}
	for resource, waited := range pressure.Waited() {
		l.put(hostPressure, waited.Seconds(), resource)
	}
}

// name is the machine's label: any bytes can stand in a directory's name, and only what
// is UTF-8 in a label. "" is one that has been.
func (l *look) name(m *roster.Machine) string {
	name := m.Dir[strings.LastIndexByte(m.Dir, '/')+1:]
	name = fault.Line(name)
	if l.seen[name] {
		return ""
	}
	l.seen[name] = true
	return name
}
