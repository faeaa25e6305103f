// Package move takes a machine from one host to another (paper 3.1, 4.2): both sides of what
// uml-machine move and uml-machine serve say to each other.
//
// The client has the machine. It offers a passport; the server judges it, and makes a directory of
// staging, which nobody can start. Discs go in passes, of which only the last is with the guest
// down; after each both compare what they have. Then the client marks its machine as the other's,
// on the disc, and from then on nobody can start it here; and only then says "take", by which the
// server makes it a machine in one step. So there is never a moment with two owners. Between mark and take
// the guest is the server's to take: whoever says the same command again does that.
package move

import (
	"errors"
	"time"

	"uml/estate"
	"uml/fault"
)

// Protocol is the version of what is said. A side that speaks another refuses.
const Protocol = 1

// Frames besides those of package delta.
const (
	kindHello  = 'H' // hello, from both
	kindAsk    = 'Q' // request, from the client
	kindAnswer = 'A' // answer, from the server
)

// hello is the first frame of both sides.
type hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"` // of the suite
	Host     string `json:"host"`    // as it calls itself
	Self     string `json:"self"`    // the machines root of this boot, so that a host knows itself
}

// What the client asks for.
const (
	doJudge = "judge" // would the offer be taken? nothing is changed
	doOffer = "offer" // make it in staging, or go on
	doSums  = "sums"  // what is there of a file
	doPass  = "pass"  // from here on frames of delta
	doEnd   = "end"   // of a pass: compare
	doReady = "ready" // all that can fail
	doTake  = "take"
	doDrop  = "drop"
)

type request struct {
	Do       string           `json:"do"`
	Passport *estate.Passport `json:"passport,omitempty"` // judge, offer
	Errand   estate.Errand    `json:"errand"`             // judge, offer
	Roots    []root           `json:"roots,omitempty"`    // end
	File     int              `json:"file,omitempty"`     // sums
	Name     string           `json:"name,omitempty"`     // take, drop
	Move     string           `json:"move,omitempty"`     // take, drop
	Activate bool             `json:"activate,omitempty"` // take
}

// A root is the digest of a whole file.
type root struct {
	File   int    `json:"file"`
	SHA256 string `json:"sha256"`
}

type answer struct {
	Fault *refusal `json:"fault,omitempty"`
	Notes []string `json:"notes,omitempty"`
	Wants []int    `json:"wants,omitempty"` // offer, judge: files to be sent
	Fresh bool     `json:"fresh,omitempty"` // offer: none of them is there
}

// A refusal is the other side's error. Taken says that what was to be dropped is its own.
type refusal struct {
	Text  string `json:"text"`
	Code  int    `json:"code"`
	Taken bool   `json:"taken,omitempty"`
}

func refuse(err error) *refusal {
	if err == nil {
		return nil
	}
	return &refusal{Text: err.Error(), Code: fault.Code(err), Taken: errors.Is(err, estate.ErrTaken)}
}

// mostLines are more than a refusal has: the other side is no friend, perhaps.
const mostLines = 50

// told is the refusal as an error of this side.
func (r *refusal) told(host string) error {
	if r == nil {
		return nil
	}
	var errs []error
	all := lines(r.Text)
	for _, line := range all[:min(len(all), mostLines)] {
		if r.Code == fault.MustMend {
			errs = append(errs, fault.PeerRefuses.Permanent("%s: %s", host, line))
		} else {
			errs = append(errs, fault.PeerRefuses.Temporary("%s: %s", host, line))
		}
	}
	if r.Taken {
		errs = append(errs, estate.ErrTaken)
	}
	return errors.Join(errs...)
}

// A side that hears nothing for so long takes the wire for cut. The server's is shorter: a client
// that was cut off comes again, and finds the machine still held.
const (
	clientSilence = 60 * time.Second
	serverSilence = 20 * time.Second
)
