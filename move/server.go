package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/delta"
	"uml/estate"
	"uml/fault"
	"uml/version"
	"uml/wire"
)

// A server is one talk: what uml-machine serve does with its standard input and output.
type server struct {
	o     estate.Options
	c     *wire.Conn
	host  string
	judge []*estate.Coming // so far, in this talk: what is judged next must fit beside them

	coming  *estate.Coming
	targets map[int]*delta.Target
	whole   bool // the last pass was compared
	ready   bool // and Ready was done, or tried
	asked   int  // bytes of requests
}

// Serve takes machines from another host until it hangs up. All that it does is what the requests
// of this package say.
func Serve(ctx context.Context, o estate.Options, r io.Reader, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	host, _ := os.Hostname()
	s := &server{o: o, c: wire.New(r, w, serverSilence), host: host}
	defer s.c.Close()
	defer s.drop()
	theirs, err := greet(s.c, o)
	if err != nil {
		return err
	}
	if theirs.Protocol != Protocol {
		return fault.PeerRefuses.Permanent("%s speaks protocol %d (uml-machine %s), and this is %d (%s)", theirs.Host, theirs.Protocol, theirs.Version, Protocol, version.This())
	}
	for {
		kind, payload, err := s.c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if kind != kindAsk {
			return fault.Permanent("a frame of kind %q where a request should be", kind)
		}
		if s.asked += len(payload); s.asked > mostAsked { // what is judged is kept
			return fault.Permanent("%d bytes of requests in one talk", s.asked)
		}
		var q request
		if err := wire.Decode(payload, &q); err != nil {
			return err
		}
		a, err := s.do(ctx, &q)
		if err != nil {
			a = &answer{Fault: refuse(err)}
		}
		if err := errors.Join(s.c.SendJSON(kindAnswer, a), s.c.Flush()); err != nil {
			return err
		}
	}
}

// mostAsked is more than the passports of thousands of machines take, in bytes.
const mostAsked = 16 << 20

// greet sends our hello and returns the other's.
func greet(c *wire.Conn, o estate.Options) (*hello, error) {
	host, _ := os.Hostname()
	self, err := self(o.Machines)
	if err != nil {
		return nil, err
	}
	ours := hello{Protocol: Protocol, Version: version.This(), Host: host, Self: self}
	if err := errors.Join(c.SendJSON(kindHello, ours), c.Flush()); err != nil {
		return nil, err
	}
	kind, payload, err := c.Read()
	if err != nil {
		return nil, err
	}
	if kind != kindHello {
		return nil, fault.Permanent("what answers is no uml-machine serve")
	}
	theirs := new(hello)
	return theirs, wire.Decode(payload, theirs)
}

// self is the same for two programs that look at the same machines.
func self(machines string) (string, error) {
	real, err := filepath.EvalSymlinks(machines)
	if err != nil {
		return "", fault.Permanent("%s: there is no such directory (mkdir it)", machines)
	}
	var st unix.Stat_t
	if err := unix.Stat(real, &st); err != nil {
		return "", err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return fmt.Sprintf("%s %d %d", strings.TrimSpace(string(boot)), st.Dev, st.Ino), err
}

func (s *server) do(ctx context.Context, q *request) (*answer, error) {
	switch q.Do {
	case doJudge:
		return s.judged(ctx, q)
	case doOffer:
		return s.offer(ctx, q)
	case doSums:
		return s.sums(ctx, q)
	case doPass:
		return s.pass(ctx)
	case doReady:
		if s.coming == nil || !s.whole {
			return nil, fault.Permanent("ready, before a pass was compared")
		}
		s.whole, s.ready = false, true // its files may be the account's from here on: nothing is opened there again
		if err := s.coming.Ready(ctx); err != nil {
			return nil, err
		}
		return &answer{Notes: s.coming.Notes}, nil
	case doTake:
		s.drop() // its lock is Take's
		var notes []string
		err := patient(ctx, func() (err error) {
			notes, err = s.o.Take(ctx, q.Name, q.Move, q.Activate)
			return err
		})
		return &answer{Notes: notes}, err
	case doDrop:
		s.drop()
		return &answer{}, patient(ctx, func() error { return s.o.Drop(ctx, q.Name, q.Move) })
	}
	return nil, fault.Permanent("%.20q is no request", q.Do)
}

// patient waits for the server of a talk that was cut off, which ends when it hears nothing.
func patient(ctx context.Context, do func() error) error {
	for until := time.Now().Add(serverSilence + 10*time.Second); ; {
		err := do()
		if !estate.Busy(err) || time.Now().After(until) {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

func (s *server) judged(ctx context.Context, q *request) (*answer, error) {
	if q.Passport == nil {
		return nil, fault.Permanent("an offer without a passport")
	}
	c, err := s.o.Judge(ctx, q.Passport, q.Errand, s.judge)
	if err != nil {
		return nil, err
	}
	s.judge = append(s.judge, c)
	return &answer{Notes: c.Notes, Wants: c.Wants}, nil
}

func (s *server) offer(ctx context.Context, q *request) (*answer, error) {
	if q.Passport == nil || s.coming != nil {
		return nil, fault.Permanent("an offer without a passport, or a second one")
	}
	err := patient(ctx, func() (err error) {
		s.coming, err = s.o.Receive(ctx, q.Passport, q.Errand)
		return err
	})
	if err != nil {
		s.coming = nil
		return nil, err
	}
	s.targets = map[int]*delta.Target{}
	fresh := s.coming.Fresh
	for _, n := range s.coming.Wants {
		t, err := s.target(n)
		if err != nil {
			if s.drop(); fresh { // a first offer that is refused leaves nothing
				err = errors.Join(err, s.o.Drop(ctx, q.Passport.Name, q.Passport.Move))
			}
			return nil, estate.Full(err)
		}
		s.targets[n] = t
	}
	return &answer{Notes: s.coming.Notes, Wants: s.coming.Wants, Fresh: s.coming.Fresh}, nil
}

func (s *server) target(n int) (*delta.Target, error) {
	f, size, err := s.coming.File(n)
	if err != nil {
		return nil, err
	}
	sums, err := delta.New(s.coming.Dir())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &delta.Target{File: f, Size: size, Sums: sums}, nil
}

// sums tells what is there of a file, from an interrupted move: by what is on the disc, not by what
// was once written.
func (s *server) sums(ctx context.Context, q *request) (*answer, error) {
	t := s.targets[q.File]
	if t == nil {
		return nil, fault.Permanent("%d is no file that is wanted", q.File)
	}
	if err := delta.Rebuild(ctx, t.File, t.Size, t.Sums, nil); err != nil {
		return nil, err
	}
	return &answer{}, delta.SendSums(s.c, byte(q.File), t.Size, t.Sums)
}

// pass writes what comes until the client asks to compare.
func (s *server) pass(ctx context.Context) (*answer, error) {
	if s.coming == nil || s.ready {
		return nil, fault.Permanent("a pass before an offer, or after ready")
	}
	s.whole = false
	if err := errors.Join(s.c.SendJSON(kindAnswer, answer{}), s.c.Flush()); err != nil {
		return nil, err
	}
	frames := 0
	var failed error // the rest is read all the same: the client hears of it at the end
	for ctx.Err() == nil {
		kind, payload, err := s.c.Read()
		if err != nil {
			return nil, err
		}
		if kind == kindAsk {
			var q request
			if err := wire.Decode(payload, &q); err != nil {
				return nil, err
			}
			if q.Do != doEnd {
				return nil, fault.Permanent("%.20q in a pass", q.Do)
			}
			if failed != nil {
				return nil, failed
			}
			return s.end(&q)
		}
		if frames++; failed == nil && frames%8 == 0 {
			failed = s.coming.Room()
		}
		if failed == nil {
			failed = estate.Full(delta.Apply(kind, payload, s.targets))
		}
	}
	return nil, context.Cause(ctx)
}

// end compares whole files, once they are on the disc.
func (s *server) end(q *request) (*answer, error) {
	seen := map[int]bool{}
	for _, r := range q.Roots {
		t := s.targets[r.File]
		if t == nil {
			return nil, fault.Permanent("%d is no file that is wanted", r.File)
		}
		if err := t.File.Sync(); err != nil {
			return nil, estate.Full(err)
		}
		sum, err := delta.Root(t.Size, t.Sums)
		if err != nil {
			return nil, err
		}
		if ours := fmt.Sprintf("%x", sum); ours != r.SHA256 {
			return nil, fault.Temporary("%s: is not what was sent (%s, not %s): say it again", t.File.Name(), ours, r.SHA256)
		}
		seen[r.File] = true
	}
	s.whole = len(seen) == len(s.targets)
	return &answer{}, nil
}

// drop lets go of what comes; what is there of it stays.
func (s *server) drop() {
	for _, t := range s.targets {
		t.File.Close()
		t.Sums.Close()
	}
	s.targets, s.whole, s.ready = nil, false, false
	s.coming.Close()
	s.coming = nil
}
