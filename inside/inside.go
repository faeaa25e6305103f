// Package inside is what an appliance does: a throw-away guest that does a job on a disc
// and ends. It is the guest's first process, from an initramfs that has the job too, and
// its only one but for what an upgrade starts.
//
// Whatever is on the disc can do no more than spoil this guest: it has no network unless
// the job needs one, no other disc than those of the job, and a jail around its kernel.
package inside

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"uml/early"
	"uml/fault"
	"uml/job"
)

// Boot does not return.
func Boot() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "uml-appliance-init: is the first process of a guest that uml-template(8) or uml-machine(8) starts")
		os.Exit(fault.MustMend)
	}
	answer(work())
	end()
}

func work() (facts *job.Facts, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Permanent("a fault of uml-appliance-init: %v, %s", p, debug.Stack())
		}
	}()
	if err := early.Surroundings(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile("/job")
	if err != nil {
		return nil, err
	}
	j, err := job.Decode(text)
	if err != nil {
		return nil, err
	}
	time.AfterFunc(j.Limit, func() {
		answer(nil, fault.Temporary("it took more than %v", j.Limit))
		end()
	})
	if err := early.LoadModules(); err != nil {
		return nil, err
	}
	return do(j)
}

// answer is said once: the kernel's own messages are kept out of its line.
func answer(facts *job.Facts, err error) {
	a := job.Answer{Facts: facts}
	if err != nil {
		a.Fault, a.Passes = err.Error(), fault.Code(err) == fault.MayPass
	}
	unix.Klogctl(consoleOff, nil)
	os.Stdout.Write(a.Line())
	unix.IoctlSetInt(1, unix.TCSBRK, 1) // tcdrain(3): what is not out when the kernel ends is lost
}

const consoleOff = 6 // SYSLOG_ACTION_CONSOLE_OFF of syslog(2)

func end() {
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}
