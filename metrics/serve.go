package metrics

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
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

	Name string    // of the program
	Out  io.Writer // its log
	Args []string  // how it was started, to be started so again, confined
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
	fmt.Fprintf(o.Out, "%s: listens at %v\n", o.Name, l.Addr())
	return newServer(o).Serve(netutil.LimitListener(l, maxConnections))
}

// Who connects is not known, and may be slow on purpose.
const (
	maxConnections = 64
	maxRequests    = 4 // more are told to come later
	patience       = 10 * time.Second
	maxAnswer      = time.Minute
)

func newServer(o Options) *http.Server {
	said := ""
	say := func(err error) { // by one look at a time
		if s := fault.Line(err.Error()); s != said {
			said = s
			fmt.Fprintf(o.Out, "%s: warning: %s\n", o.Name, s)
		}
	}
	r := prometheus.NewRegistry()
	r.MustRegister(&Collector{Machines: o.Machines, Service: o.Service, Say: say})
	logger := log.New(o.Out, o.Name+": ", 0)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorLog: logger, MaxRequestsInFlight: maxRequests}))
	return &http.Server{
		Handler: mux, ErrorLog: logger, MaxHeaderBytes: 8 << 10,
		ReadHeaderTimeout: patience, ReadTimeout: patience, IdleTimeout: 2 * time.Minute, WriteTimeout: maxAnswer,
	}
}
