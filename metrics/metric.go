package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// A metric is one name. What it is called and means stays as it is: dashboards and rules
// are made of it (uml-metrics(8)).
type metric struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

var all []metric

func gauge(name, help string, labels ...string) metric {
	return define(prometheus.GaugeValue, name, help, labels)
}

func counter(name, help string, labels ...string) metric {
	return define(prometheus.CounterValue, name, help, labels)
}

func define(kind prometheus.ValueType, name, help string, labels []string) metric {
	m := metric{prometheus.NewDesc(name, help, labels, nil), kind}
	all = append(all, m)
	return m
}

// Of the host as a whole.
var (
	build        = gauge("uml_build_info", "1; the version of uml-metrics is its label.", "version")
	guests       = gauge("uml_guests", "Machines in each state, as uml-ctl list has them.", "state")
	promisedUp   = gauge("uml_memory_promised_bytes", "Memory promised to the guests that are up.")
	hostMemory   = gauge("uml_host_memory_bytes", "Memory that the host has.")
	hostPressure = counter("uml_host_pressure_waiting_seconds_total", "Time since the host's boot in which something waited for it (PSI, some).", "resource")
	waiting      = gauge("uml_starts_waiting", "Starts that wait for others that boot, or for the host's pressure to fall.")
	lookTime     = gauge("uml_look_timestamp_seconds", "When these numbers were read, in Unix time.")
	lookTook     = gauge("uml_look_duration_seconds", "How long it took to read them.")
	lookWhole    = gauge("uml_look_success", "Whether a part of them could be read: machines, filter (forged packets of routed guests), bridge (of bridged ones).", "part")
)

// Of each machine.
var (
	activated   = gauge("uml_guest_activated", "Whether the machine is linked into the service directory.", "machine")
	state       = gauge("uml_guest_state", "1, for the state that the machine is in.", "machine", "state")
	faults      = gauge("uml_guest_settings_faults", "Faults in the machine's settings, with which it would not start.", "machine")
	startTime   = gauge("uml_guest_start_time_seconds", "When the guest's kernel was started, in Unix time.", "machine")
	starts      = counter("uml_guest_starts_total", "Starts that became the guest's kernel.", "machine")
	refusals    = counter("uml_guest_refusals_total", "Starts that failed, by the message's id (uml-messages(7)).", "machine", "reason")
	promised    = gauge("uml_guest_memory_promised_bytes", "The setting mem.", "machine")
	resident    = gauge("uml_guest_memory_resident_bytes", "Memory that the host holds for the guest's kernel.", "machine")
	swapped     = gauge("uml_guest_memory_swapped_bytes", "Memory of the guest's control group in the host's swap.", "machine")
	cpu         = counter("uml_guest_cpu_seconds_total", "CPU time that the guest took of the host.", "machine")
	discSize    = gauge("uml_guest_disc_size_bytes", "Size of the files of the machine's discs and its swap.", "machine")
	discUsed    = gauge("uml_guest_disc_allocated_bytes", "What of them takes room on the host.", "machine")
	discRead    = counter("uml_guest_disc_read_bytes_total", "Bytes that the host's discs read for the guest.", "machine")
	discWritten = counter("uml_guest_disc_written_bytes_total", "Bytes that the guest had the host's discs write.", "machine")
	discReads   = counter("uml_guest_disc_reads_total", "Read operations of the guest's control group, on each block device that they pass.", "machine")
	discWrites  = counter("uml_guest_disc_writes_total", "Write operations of the guest's control group, on each block device that they pass.", "machine")
	inBytes     = counter("uml_guest_network_receive_bytes_total", "Bytes that the guest received.", "machine")
	inPackets   = counter("uml_guest_network_receive_packets_total", "Packets that the guest received.", "machine")
	outBytes    = counter("uml_guest_network_transmit_bytes_total", "Bytes that the guest sent.", "machine")
	outPackets  = counter("uml_guest_network_transmit_packets_total", "Packets that the guest sent.", "machine")
	forged      = gauge("uml_guest_forged_packets", "Packets from addresses not its own that the guest sent and that were dropped, at least: of a routed guest those that are remembered, a day; of a bridged one since its addresses were last set.", "machine")
)
