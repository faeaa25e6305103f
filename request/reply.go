package request

import (
	"encoding/json"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/packet"
)

// Reply sends an answer, with copies of fds, and waits for nobody: an asker who does
// not hear has no answer.
func Reply(sock int, a Answer, fds ...int) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if len(b) > maxAnswer {
		b, err = json.Marshal(Failed(fault.Permanent("the answer is too long")))
		fds = nil
	}
	if err != nil {
		return err
	}
	return packet.Send(sock, b, fds, unix.MSG_DONTWAIT)
}

// Failed answers with an error.
func Failed(err error) Answer {
	return Answer{Code: fault.Code(err), Fault: fault.Line(err.Error())}
}
