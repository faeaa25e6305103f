package runscript

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/jail"
	"uml/lock"
	"uml/netsetup"
	"uml/program"
	"uml/settings"
)

// What an examination looks at where a start would wait, lock or change.

// seeGap also says what is supervised: supervise(8) makes the directory, and reads
// from a fifo in it as long as it runs.
func (s *start) seeGap() error {
	why, _, err := Gap(s.m.NoStart(), s.host.MinUptime)
	if err != nil {
		return err
	}
	if why != "" {
		s.seen.warn("no guest starts now: " + why)
	}
	run, err := s.dir.Open("run")
	if err == nil {
		run.Close()
	}
	if errors.Is(err, unix.ENOENT) {
		s.seen.warn(fmt.Sprintf("%s: there is no such file, so supervise cannot start it (try: ln -s %s %s)", s.dir.Join("run"), Program(), s.dir.Join("run")))
	}
	if why == "" {
		s.seen.well("nothing holds a start back; %s", s.supervised())
	}
	return nil
}

func (s *start) supervised() string {
	fd, err := unix.Openat(s.dir.Fd(), "supervise/ok", unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Sprintf("not supervised (to activate: uml-ctl activate %s)", s.m.Name)
	}
	unix.Close(fd)
	return "supervised"
}

func (s *start) seeLock() error {
	by, holders, err := lock.See(s.dir, s.m.User.UID, s.seen.round.locks)
	s.seen.holders = holders
	switch {
	case err != nil:
		return err
	case by != nil && isKernel(by.PID):
		s.seen.State = Up
		s.seen.well("held by process %d, the guest kernel: the guest is up", by.PID)
	case by != nil:
		s.seen.State = Starting
		s.seen.well("held by process %d, no guest kernel: a start, or uml-jail", by.PID)
	case len(holders) > 0:
		s.seen.warn(fmt.Sprintf("held by %s of a killed kernel: the guest is down, and the next start ends them", lock.Describe(holders)))
	default:
		return lock.Alone(s.dir.Join(lock.Name), s.m.User.UID)
	}
	return nil
}

// isKernel asks for the program as it was named in its jail. The name that the
// process gives itself is the guest's user's word.
func isKernel(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && isKernelImage(exe)
}

// isKernelImage also knows an image that was replaced since the guest started.
func isKernelImage(exe string) bool {
	return strings.TrimSuffix(exe, " (deleted)") == jail.Root+"/"+kernelName
}

// seeDisc stands for the lock of a disc.
func (s *start) seeDisc(f *handle.File, open *os.File, readOnly bool) error {
	if s.seen == nil {
		return nil
	}
	s.seen.Discs = append(s.seen.Discs, DiscFile{f.Path, f.Stat.Dev, f.Stat.Ino, readOnly})
	return lock.SeeDisc(open, s.seen.holders, readOnly, s.seen.round.locks)
}

// seeNetwork: a guest that is up needs all of it; of one that is down all may
// stand that its last run had, and the next start takes it away first.
func (s *start) seeNetwork() error {
	if s.m.Net.Kind == settings.None {
		return nil
	}
	state, err := netsetup.LookForeign(s.m, s.host)
	if err != nil {
		return distinct(err)
	}
	s.seen.Left = len(state.Routes)+len(state.Published) > 0
	if len(state.OnLink) > 0 {
		s.seen.warn(fmt.Sprintf("the link of %s holds a prefix of the guest's: only %v are answered for there (have the prefix routed to this host)", state.External, state.OnLink))
	}
	if s.seen.State == Up {
		return s.seeClaimed(state)
	}
	s.seen.well("%s", claims(state))
	return nil
}

func (s *start) seeClaimed(state *netsetup.State) error {
	var errs []error
	for _, c := range state.Missing {
		errs = append(errs, fault.Permanent("the guest is up without: %s (try: uml-net up %s)", c, s.m.Real))
	}
	for _, c := range state.Surplus {
		s.seen.warn(fmt.Sprintf("too much is there: %s (try: uml-net up %s)", c, s.m.Real))
	}
	if state.Exists && !state.Opened {
		s.seen.warn(fmt.Sprintf("%s: the guest does not have it open: it boots, its device is down, or the TAP was made anew since (then: uml-net up %s; uml-ctl restart %s)", state.TAP, s.m.Name, s.m.Name))
	}
	if state.Whole() && state.Opened {
		s.seen.well("%s", claims(state))
	}
	return errors.Join(errs...)
}

// claims is a line of what is there.
func claims(s *netsetup.State) string {
	if !s.Exists {
		return s.TAP + ": not there, the start makes it"
	}
	parts := []string{fmt.Sprintf("%s of user id %d", s.TAP, s.Owner)}
	for _, p := range s.Routes {
		parts = append(parts, fmt.Sprintf("route %v", p))
	}
	if s.Bridge != "" {
		parts = append(parts, "port of "+s.Bridge)
	}
	if f := s.Filtered; f != nil {
		parts = append(parts, fmt.Sprintf("held to its own addresses by nft table bridge %s (%d packets dropped)", netsetup.FilterTable, f.Packets))
	}
	for _, a := range s.Published {
		parts = append(parts, fmt.Sprintf("%v published on %s", a, s.External))
	}
	return strings.Join(parts, ", ")
}

// findLibraries is p.Libraries with the rights of the guest's user, who may have
// named any file of the host. In a round it is found once for all images of one
// user that name the same.
func (s *start) findLibraries(p *program.Program) (libs []program.Library, err error) {
	u := s.m.User
	key := fmt.Sprintf("%d %d %q %q %q %q", u.UID, u.GID, p.Interp, p.Needed, p.RunPath, p.RPath)
	if s.seen != nil {
		if libs, ok := s.seen.round.libraries.Load(key); ok {
			return libs.([]program.Library), nil
		}
	}
	err = handle.As(u.UID, u.GID, func() (err error) { libs, err = p.Libraries(); return err })
	if err == nil && s.seen != nil {
		s.seen.round.libraries.Store(key, libs)
	}
	return libs, err
}

// distinct has each text of err once: both looks may find the same.
func distinct(err error) error {
	var all []error
	for _, part := range fault.Parts(err) {
		if !slices.ContainsFunc(all, func(e error) bool { return e.Error() == part.Error() }) {
			all = append(all, part)
		}
	}
	return errors.Join(all...)
}
