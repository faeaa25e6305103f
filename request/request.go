// Package request is what a machine's account may ask of root, and how: uml-shell
// asks, uml-shelld answers.
//
// Both speak over a socket that keeps the bounds of packets: a connection carries
// one request and then its answers, each a JSON object. Half a request cannot be
// sent. Who asks is told by the kernel (SO_PEERCRED), and a request names no
// machine: an account's is the one whose directory is its home.
package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"

	"uml/fault"
	"uml/mconsole"
)

// Socket is where uml-shelld listens unless it is told otherwise. The directory is
// root's.
const Socket = "/run/uml-shelld/socket"

// An Act is what is asked for.
type Act string

// The acts there are.
const (
	Login   Act = "login"   // may this account log in now? And how does its machine stand?
	Status  Act = "status"  // how its machine stands
	Start   Act = "start"   // have it started, and again whenever it ends
	Stop    Act = "stop"    // shut it down, and keep it down
	Restart Act = "restart" // the one, then the other
	Kill    Act = "kill"    // end its kernel at once, and keep it down
	CAD     Act = "cad"     // press Ctrl-Alt-Del
	SysRq   Act = "sysrq"   // Key
	Console Act = "console" // Channel; with Wait, once it is there
	Log     Act = "log"     // the last Lines lines, and with Follow what is added
	Keys    Act = "keys"    // of the account's authorized_keys
	AddKey  Act = "add-key" // Line
	DropKey Act = "drop-key"
)

// A Request is one. What does not belong to its act is not set.
type Request struct {
	Act     Act    `json:"act"`
	From    string `json:"from,omitempty"` // the address the account came from, as sshd said: for the log alone
	Key     string `json:"key,omitempty"`
	Channel string `json:"channel,omitempty"` // con1
	Wait    bool   `json:"wait,omitempty"`
	Lines   int    `json:"lines,omitempty"`
	Follow  bool   `json:"follow,omitempty"`
	Line    string `json:"line,omitempty"` // of authorized_keys, or a key's fingerprint
}

const (
	// Max bounds a request's packet.
	Max = 16 << 10
	// MaxLines bounds how much of a log is asked for.
	MaxLines = 10000
	// maxWord bounds what is told in the log before the outcome: a longer one would
	// push that off its line's end.
	maxWord = 16
)

// Parse reads a request and checks it whole.
func Parse(b []byte) (r Request, err error) {
	if len(b) > Max {
		return r, fault.Permanent("a request of %d bytes, at most %d are read", len(b), Max)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Request{}, fault.Permanent("no request: %s", mconsole.Clean(err.Error()))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Request{}, fault.Permanent("no request: more than one")
	}
	if err := r.check(); err != nil {
		return Request{}, err
	}
	return r, nil
}

// takes says what belongs to each act.
var takes = map[Act][]string{
	Login: {}, Status: {}, Start: {}, Stop: {}, Restart: {}, Kill: {}, CAD: {},
	SysRq: {"key"}, Console: {"channel", "wait"}, Log: {"lines", "follow"},
	Keys: {}, AddKey: {"line"}, DropKey: {"line"},
}

func (r Request) check() error {
	takes, ok := takes[r.Act]
	if !ok {
		return fault.Permanent("%q is no act", mconsole.Clean(string(r.Act)))
	}
	for field, set := range map[string]bool{
		"key": r.Key != "", "channel": r.Channel != "", "wait": r.Wait, "lines": r.Lines != 0, "follow": r.Follow, "line": r.Line != "",
	} {
		if set && !slices.Contains(takes, field) {
			return fault.Permanent("%s takes no %s", r.Act, field)
		}
	}
	if r.From != "" {
		if a, err := netip.ParseAddr(r.From); err != nil || a.Zone() != "" {
			return fault.Permanent("from: %q is no address", mconsole.Clean(r.From))
		}
	}
	if r.Lines < 0 || r.Lines > MaxLines {
		return fault.Permanent("lines: %d is not from 0 to %d", r.Lines, MaxLines)
	}
	if strings.ContainsAny(r.Line, "\x00\r\n") {
		return fault.Permanent("line: is not one")
	}
	if max(len(r.Key), len(r.Channel)) > maxWord {
		return fault.Permanent("key or channel: more than %d bytes", maxWord)
	}
	return nil // what key and channel may be is for who uses them
}
