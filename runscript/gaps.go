package runscript

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// lookAgain is how often a waiting start looks at machines-nostart: one stat.
const lookAgain = time.Second

// stopGaps begins step 2 (paper 3.4): it waits while the administrator keeps all guests
// down and while the host is freshly booted, and then a random time more where stagger is
// set. It says once why it waits, and keeps no slot meanwhile. If it had to wait, the
// start begins again: everything may have changed.
func (s *start) stopGaps(ctx context.Context, p *pacing) (again bool, err error) {
	s.plan("check", "%s is not there, the host is up for %v", s.m.NoStart(), s.host.MinUptime)
	said := ""
	for {
		why, wait, err := Gap(s.m.NoStart(), s.host.MinUptime)
		if err != nil {
			return false, err
		}
		if why == "" {
			break
		}
		if s.DryRun {
			s.plan("wait", "%s", why)
			return false, nil
		}
		if said == "" {
			s.Say(idOf(s.m.NoStart()), "waits: "+why)
			p.end()
		}
		said = why
		tell(nameOf(s.m.NoStart()))
		if err := sleep(ctx, wait); err != nil {
			return false, err
		}
	}
	if said == "" {
		return false, nil
	}
	tell(nameBusy)
	p.gather = 2 * lookAgain
	return true, s.stagger(ctx)
}

// nameOf is the gap that Gap has found.
func nameOf(noStart string) string {
	var st unix.Stat_t
	if unix.Lstat(noStart, &st) == nil {
		return NameNoStart
	}
	return NameUptime
}

// idOf is its message.
func idOf(noStart string) fault.ID {
	if nameOf(noStart) == NameNoStart {
		return fault.WaitsNoStart
	}
	return fault.WaitsUptime
}

func (s *start) stagger(ctx context.Context) error {
	wait := s.host.StaggerLow
	if spread := s.host.StaggerHigh - s.host.StaggerLow; spread > 0 {
		wait += rand.N(spread)
	}
	if wait == 0 {
		return nil
	}
	tell(NameStagger)
	defer tell(nameBusy)
	s.Say(fault.WaitsStagger, fmt.Sprintf("waits: %v more, so that guests do not all boot at once", wait.Round(time.Second)))
	return sleep(ctx, wait)
}

// Gap says why no guest may start now, "" if one may, and when to look again.
func Gap(noStart string, minUptime time.Duration) (why string, wait time.Duration, err error) {
	var st unix.Stat_t
	err = unix.Lstat(noStart, &st)
	if err == nil {
		return noStart + " is there (remove it to let guests start)", lookAgain, nil
	}
	if !errors.Is(err, unix.ENOENT) {
		return "", 0, fmt.Errorf("look for %s: %w", noStart, err)
	}
	up, err := uptime()
	if err != nil {
		return "", 0, err
	}
	if left := minUptime - up; left > 0 {
		return fmt.Sprintf("the host is up for %v, min-uptime is %v", up.Round(time.Second), minUptime), min(left, lookAgain), nil
	}
	return "", 0, nil
}

func uptime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	return parseUptime(string(text))
}

// parseUptime reads "12345.67 54321.00" (proc_uptime(5)).
func parseUptime(text string) (time.Duration, error) {
	first, _, _ := strings.Cut(text, " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil || seconds < 0 || seconds > 1e9 {
		return 0, fault.Temporary("/proc/uptime: %q is no time", text)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// sleep waits, or returns early with ctx's cause.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Delay keeps a supervisor from spinning: a start that failed with err waits for
// the host's retry-delay before it exits, unless it was told to stop or somebody
// watches it at a terminal. It waits up to a quarter more: two hosts that are
// asked to start the same guest both refuse, and must not meet again for ever.
//
// Meanwhile uml-ctl list can tell what it failed with.
func Delay(o Options, err error) {
	if err == nil || errors.Is(err, errStopped) || terminal(int(os.Stderr.Fd())) {
		return
	}
	tell(NameRetry)
	signals := catch(context.Background())
	defer signals.stop()
	done := make(chan struct{})
	go func() { // the calling thread may be in the jail, where no setting can be read
		defer close(done)
		o.failed(err)
		sleep(signals.ctx, retryDelay(o.HostDir))
	}()
	<-done
}

func terminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

func retryDelay(hostDir string) time.Duration {
	host, err := settings.ReadHost(hostDir)
	if err != nil {
		return 15 * time.Second // as the default: the settings may be what is wrong
	}
	return host.RetryDelay + rand.N(host.RetryDelay/4+1)
}
