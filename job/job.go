// Package job is what the host asks of an appliance, a throw-away guest, and what that
// answers: the host's side is package appliance, the guest's package inside.
//
// The answer is the guest's word, and whatever lay on its disc may have had a say in it.
package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"uml/fault"
)

// A Job is what is done to one filesystem, in the order of the fields.
type Job struct {
	Root     string        // its device, such as /dev/ubda
	ReadOnly bool          `json:",omitempty"`
	Scratch  bool          `json:",omitempty"` // the disc is thrown away if the job is not done: it needs no journal
	Limit    time.Duration // the appliance ends itself then

	Grow    bool     `json:",omitempty"` // the filesystem to the size of its device
	Unpack  *Unpack  `json:",omitempty"`
	Upgrade *Upgrade `json:",omitempty"`
	Fit     *Fit     `json:",omitempty"`
	Look    bool     `json:",omitempty"`
}

// Encode is the job as the appliance's initramfs has it.
func (j *Job) Encode() []byte {
	text, err := json.Marshal(j)
	if err != nil { // none of its types can fail
		panic(err)
	}
	return text
}

// Decode is its counterpart.
func Decode(text []byte) (*Job, error) {
	j := &Job{}
	if err := json.Unmarshal(text, j); err != nil {
		return nil, fmt.Errorf("the job: %w", err)
	}
	return j, nil
}

// Unpack fills the filesystem with what a tar archive has.
type Unpack struct {
	Device string // on which the archive is, uncompressed
	Size   int64  // of it, bytes
}

// An Answer is what has come of a job.
type Answer struct {
	Fault  string `json:",omitempty"` // why it was not done
	Passes bool   `json:",omitempty"` // and may be done another time (fault.Temporary)
	Facts  *Facts `json:",omitempty"` // of Look
}

// Err is the answer's fault.
func (a *Answer) Err() error {
	switch {
	case a.Fault == "":
		return nil
	case a.Passes:
		return fault.Temporary("%s", a.Fault)
	}
	return fault.Permanent("%s", a.Fault)
}

// Mark begins the line of the console that is the answer.
const Mark = "uml-appliance: "

// Line is the answer as a line of the console.
func (a *Answer) Line() []byte {
	text, err := json.Marshal(a)
	if err != nil { // none of its types can fail
		panic(err)
	}
	return append(append([]byte(Mark), text...), '\n')
}

// ParseLine is the answer in a line of the console; nil if it is another line.
func ParseLine(line []byte) (*Answer, error) {
	text, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), []byte(Mark))
	if !ok {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	a := &Answer{}
	err := d.Decode(a)
	if err == nil && d.More() {
		err = errors.New("more follows it")
	}
	if err != nil {
		return nil, fmt.Errorf("what it answered is no answer: %w", err)
	}
	return a, nil
}
