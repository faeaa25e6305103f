package metrics

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/rights"
	"uml/seccomp"
)

// Options are of a service.
type Options struct {
	Machines, Service string
	Listen            string // host:port
	Open              bool   // where there can be no namespace, go on without

	Name string       // of the program
	Say  func(string) // a line of its log
	Args []string     // how it was started, to be started so again, confined
}

// Serve answers GET /metrics until the process is ended. The calling thread has to be the
// process's first, and locked. It runs twice: see package rights.
func Serve(o Options) error {
	if os.Geteuid() != 0 {
		return fault.Permanent("needs root")
	}
	if !rights.Confined(o.Name) {
		return confine(o)
	}
	name, err := unix.BytePtrFromString(o.Name)
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0); err != nil { // it was executed as "exe"
		return err
	}
	f := os.NewFile(listenFD, "listener")
	l, err := net.FileListener(f)
	f.Close()
	if err != nil {
		return fmt.Errorf("listen at %s: %w", o.Listen, err)
	}
	if err := seccomp.NoExec(unix.AF_NETLINK); err != nil {
		return err
	}
	o.Say(fmt.Sprintf("listens at %v", l.Addr()))
	return newServer(o).Serve(&door{Listener: l})
}

// Who connects is not known, and may be slow on purpose.
const (
	patience  = 10 * time.Second
	maxAnswer = time.Minute
)

func newServer(o Options) *http.Server {
	said := ""
	say := func(err error) { // by one look at a time
		if s := err.Error(); s != said {
			said = s
			o.Say("warning: " + s)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", newPage(o, say))
	return &http.Server{
		Handler: mux, ErrorLog: log.New(lines(o.Say), "", 0), MaxHeaderBytes: 8 << 10,
		ReadHeaderTimeout: patience, ReadTimeout: patience, IdleTimeout: 2 * time.Minute, WriteTimeout: maxAnswer,
	}
}

// lines are what a log writes, one after the other.
type lines func(string)

func (say lines) Write(b []byte) (int, error) {
	say(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}
