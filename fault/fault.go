// Package fault tells an error that somebody must mend from one that may pass,
// so that a supervisor can tell them apart: exit 100 and exit 111, as
// daemontools has them.
package fault

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Exit codes of every program of the suite.
const (
	OK        = 0
	MustMend  = 100 // permanent: somebody must change something
	MayPass   = 111 // temporary: the same start may work later
	maxReport = 4096
)

type fault struct {
	error
	temporary bool
	id        ID
}

func (f fault) Unwrap() error { return f.error }
func (f fault) FaultID() ID   { return f.id }

// is says whether err, or what it wraps, is a fault.
func is(err error) bool {
	var f fault
	return errors.As(err, &f)
}

// Permanent is fmt.Errorf for an error that lasts until somebody acts.
func Permanent(format string, args ...any) error {
	return fault{fmt.Errorf(format, args...), false, ""}
}

// Temporary is fmt.Errorf for an error that may pass by itself.
func Temporary(format string, args ...any) error {
	return fault{fmt.Errorf(format, args...), true, ""}
}

// Code is the exit code for err: OK for nil, MustMend if any of its parts is
// permanent, else MayPass. An error that says nothing of itself may pass: a
// failed system call often does, and giving up for good would lose a guest. That
// is why only this package's own type is asked: syscall.Errno has a method
// Temporary too, which is false for nearly all.
func Code(err error) int {
	if err == nil {
		return OK
	}
	for _, part := range Parts(err) {
		var f fault
		if errors.As(part, &f) && !f.temporary {
			return MustMend
		}
	}
	return MayPass
}

// Parts takes joined errors apart, in order. A single error is its own part, and
// so is one that makes a sentence of several (fmt.Errorf with more than one %w).
func Parts(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != fmt.Sprint(errors.Join(joined.Unwrap()...)) {
		return []error{err}
	}
	var parts []error
	for _, e := range joined.Unwrap() {
		parts = append(parts, Parts(e)...)
	}
	return parts
}

// Report writes "PROG: fatal: ..." for each part of err, a line each, and
// returns the exit code. A nil err writes nothing.
func Report(w io.Writer, prog string, err error) int {
	return (&Log{Out: w, Program: prog}).Fail(err)
}

// Line makes s fit for one line of a log: what a guest's user or a damaged file
// may have put in it can neither start a line of its own nor drive a terminal.
func Line(s string) string {
	if len(s) > maxReport {
		s = s[:maxReport] + "..."
	}
	q := strconv.Quote(s)
	q = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	return strings.ReplaceAll(q, `\\`, `\`)
}
