package settings

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

// DefaultHostDir holds the host's own settings unless a flag says otherwise.
const DefaultHostDir = "/etc/uml-run"

// DefaultMachines is the machines root unless a flag says otherwise.
const DefaultMachines = "/machines"

// A Host is what all machines of a host share.
type Host struct {
	Dir         string        // as it was named, for messages
	External    string        // interface towards the network; "": the one with the default route
	MinUptime   time.Duration // no start before the host is up so long (paper 3.4)
	Pace        Pace          // of starts that come together
	StaggerLow  time.Duration // random wait after a stop-gap; both 0: none
	StaggerHigh time.Duration
	PingTimeout time.Duration
	RetryDelay  time.Duration // wait of a failed start before it exits
	Publish     bool          // each address on External; else a routing daemon's work
	RadvdConf   string
	GuestToHost bool    // guests reach all of the host's own services
	GuestPorts  []Port  // else these alone
	AccountKeys bool    // accounts change their own authorized_keys
	MemReserve  Size    // RAM of the host's that uml-balance keeps available; 0: a sixteenth
	Overcommit  float64 // how many times the host's RAM guests may be promised; 0: any number, with a warning
}

// A Port is one of the host's services.
type Port struct {
	Protocol string // "tcp", "udp"
	Number   int
}

func (p Port) String() string { return fmt.Sprintf("%s/%d", p.Protocol, p.Number) }

// ReadHost reads the host's settings. A directory that is not there means that
// every default holds; beside faults, what is not faulty or a default.
func ReadHost(name string) (*Host, error) {
	h := &Host{
		Dir:         name,
		MinUptime:   120 * time.Second,
		Pace:        defaultPace(),
		PingTimeout: time.Second,
		RetryDelay:  15 * time.Second,
		Publish:     true,
		RadvdConf:   "/etc/radvd.conf",
	}
	dir, err := handle.OpenDir(name)
	if errors.Is(err, unix.ENOENT) {
		return h, nil
	}
	if errors.Is(err, unix.ENOTDIR) {
		return h, fault.SettingBad.Permanent("%s: is not a directory", name)
	}
	if err != nil {
		return h, err
	}
	defer dir.Close()
	return h, errors.Join(readFiles(dir, h.set, knownHost)...)
}

// File is where a setting is, or would be.
func (h *Host) File(setting string) string { return path.Join(h.Dir, setting) }

func knownHost(name string) bool {
	switch name {
	case "external", "min-uptime", "pace", "pace-limit", "pace-pressure", "stagger", "ping-timeout", "retry-delay", "publish", "radvd-conf", "guest-to-host", "account-keys", "overcommit", "log-format", "mem-reserve":
		return true
	}
	return false
}

func (h *Host) set(name string, lines []string) (err error) {
	if name == "guest-to-host" && len(lines) > 0 {
		h.GuestToHost, h.GuestPorts, err = parseGuestToHost(lines)
		return err
	}
	if name == "pace-pressure" {
		return h.Pace.setPressure(lines)
	}
	if len(lines) > 1 {
		return fmt.Errorf("%d values, %q and more: this setting takes one", len(lines), lines[0])
	}
	if len(lines) == 0 {
		if name == "stagger" {
			h.StaggerLow, h.StaggerHigh = 0, 0
			return nil
		}
		return fmt.Errorf("is empty, and cannot be none (remove the file for the default)")
	}
	v := lines[0]
	switch name {
	case "external":
		h.External, err = v, checkInterface(v)
	case "min-uptime":
		h.MinUptime, err = parseTime(v, 0, 86400, time.Second)
	case "pace":
		h.Pace.Slots, err = parseNumber(v, 0, maxSlots)
	case "pace-limit":
		h.Pace.Limit, err = parseTime(v, 1, 3600, time.Second)
	case "stagger":
		h.StaggerLow, h.StaggerHigh, err = parseStagger(v)
	case "ping-timeout":
		h.PingTimeout, err = parseTime(v, 10, 60000, time.Millisecond)
	case "retry-delay":
		h.RetryDelay, err = parseTime(v, 0, 3600, time.Second)
	case "publish":
		h.Publish = v == "proxy"
		if v != "proxy" && v != "none" {
			err = fmt.Errorf("%q is no way to publish (try proxy or none)", v)
		}
	case "log-format": // see LogFormat
		if !IsLogFormat(v) {
			err = fmt.Errorf("%q is no format of a log (try text or json)", v)
		}
	case "account-keys":
		h.AccountKeys, err = parseYes(v)
	case "overcommit":
		h.Overcommit, err = parseOvercommit(v)
	case "mem-reserve":
		h.MemReserve, err = ParseSize(v)
		if err == nil && h.MemReserve < mib {
			err = fmt.Errorf("%q is nothing to keep (try 2G)", v)
		}
	case "radvd-conf":
		h.RadvdConf = v
		if !path.IsAbs(v) || strings.ContainsRune(v, 0) {
			err = fmt.Errorf("%q is not an absolute path", v)
		}
	}
	return err
}

func parseTime(s string, low, high int, unit time.Duration) (time.Duration, error) {
	n, err := parseNumber(s, low, high)
	return time.Duration(n) * unit, err
}

func parseStagger(s string) (low, high time.Duration, err error) {
	if s == "0" {
		return 0, 0, nil
	}
	l, h, _ := strings.Cut(s, "-")
	low, err1 := parseTime(l, 0, 86400, time.Second)
	high, err2 := parseTime(h, 0, 86400, time.Second)
	if err1 != nil || err2 != nil || low > high {
		return 0, 0, fmt.Errorf("%q is no range of seconds (try 1-600, or 0 for none)", s)
	}
	return low, high, nil
}

// parseOvercommit: warn, no, or how many times the host's RAM.
func parseOvercommit(s string) (times float64, err error) {
	switch {
	case s == "warn":
		return 0, nil
	case s == "no":
		return 1, nil
	case strings.Trim(s, "0123456789.") == "" && len(s) <= 8:
		times, err = strconv.ParseFloat(s, 64)
	}
	if err != nil || times <= 0 || times > 1000 {
		return 0, fmt.Errorf("%q is neither warn, no nor how many times the host's RAM (try 1.5)", s)
	}
	return times, nil
}

// parseGuestToHost: yes, no, or the services that guests may use, a line each.
func parseGuestToHost(lines []string) (all bool, ports []Port, err error) {
	if len(lines) == 1 && (lines[0] == "yes" || lines[0] == "no") {
		return lines[0] == "yes", nil, nil
	}
	if len(lines) > maxPorts {
		return false, nil, fmt.Errorf("%d lines: at most %d services can be named", len(lines), maxPorts)
	}
	for _, l := range lines {
		protocol, number, _ := strings.Cut(l, "/")
		n, err := parseNumber(number, 1, 65535)
		if err != nil || protocol != "tcp" && protocol != "udp" {
			return false, nil, fmt.Errorf("%q is not yes, no, or a service (try udp/53)", l)
		}
		ports = append(ports, Port{protocol, n})
	}
	return false, ports, nil
}

// maxPorts bounds the rules that a packet to the host passes.
const maxPorts = 32
