package request

import (
	"bytes"
	"encoding/json"
	"time"

	"uml/fault"
	"uml/mconsole"
)

// An Answer is one of those to a request: the last, or a step of what takes its
// time.
type Answer struct {
	Step string `json:"step,omitempty"` // what is being done: more follows

	Code    int      `json:"code,omitempty"`    // fault.MustMend or fault.MayPass
	Fault   string   `json:"fault,omitempty"`   // with Code, a line
	Text    string   `json:"text,omitempty"`    // a line, or several
	Machine *Machine `json:"machine,omitempty"` // of Login and Status
	Keys    bool     `json:"keys,omitempty"`    // of Login: the account may change its keys
}

// maxAnswer bounds an answer's packet.
const maxAnswer = 128 << 10

// Err is the fault that was answered, as it was for who answered.
func (a *Answer) Err() error {
	if a.Code == 0 {
		return nil
	}
	if a.Code == fault.MustMend {
		return fault.Permanent("%s", mconsole.Clean(a.Fault))
	}
	return fault.Temporary("%s", mconsole.Clean(a.Fault))
}

// A Machine is how one stands, as "uml-ctl list --json" says it (package roster);
// of its fields, what is of use to its account.
type Machine struct {
	Name       string     `json:"name"`
	Supervised string     `json:"supervised"`
	State      string     `json:"state"`
	Why        string     `json:"why"`
	Since      *time.Time `json:"since"`
	PID        int        `json:"pid"`
	Promised   int64      `json:"memory_promised"`
	Resident   int64      `json:"memory_resident"`
	Addresses  []string   `json:"addresses"`
	Discs      []Disc     `json:"discs"`
	Notes      []string   `json:"notes"`
	Faults     []string   `json:"faults"`
}

// A Disc is a disc's file or the swap's. Sizes are bytes.
type Disc struct {
	Device    string `json:"device"`
	File      string `json:"file"`
	Size      int64  `json:"size"`
	Allocated int64  `json:"allocated"`
}

func parseAnswer(b []byte) (*Answer, error) {
	a := new(Answer)
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(a); err != nil {
		return nil, fault.Permanent("no answer: %w", err)
	}
	return a, nil
}
