package cmdline

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// log is where all messages of the program go.
var log = &fault.Log{Out: os.Stderr}

// A format is the value of --log-format.
type format string

func (f *format) String() string { return settings.LogText }
func (f *format) Set(s string) error {
	if !settings.IsLogFormat(s) {
		return fmt.Errorf("no format of a log (try text or json)")
	}
	*f = format(s)
	return nil
}

const formatVariable = "UML_LOG_FORMAT"

func logFormat() cli.Flag {
	return &cli.GenericFlag{
		Name: "log-format", Value: new(format), EnvVars: []string{formatVariable},
		Usage: "write messages to standard error as `FORMAT`: text, or json, an object a line",
	}
}

// formatOf is looked up before the command line is read, since what is wrong with that is
// said in it too: the last right one of the arguments, else of the environment, else, where
// nobody watches, of the host's settings: a run script has no arguments, and its environment
// is that of whatever scans the services.
func formatOf(args []string, service bool) string {
	found := ""
	for _, v := range values(args, "log-format") {
		if settings.IsLogFormat(v) {
			found = v
		}
	}
	if v := os.Getenv(formatVariable); found == "" && settings.IsLogFormat(v) {
		found = v
	}
	if found == "" && service && !terminal() {
		dir := os.Getenv("UML_HOST_SETTINGS")
		if v := values(args, "host-settings"); len(v) > 0 {
			dir = v[len(v)-1]
		}
		if dir == "" {
			dir = settings.DefaultHostDir
		}
		found = settings.LogFormat(dir)
	}
	return found
}

// values are those of a flag, wherever it stands.
func values(args []string, name string) (all []string) {
	for i, a := range args {
		if a == "--" {
			break
		}
		flag, value, joined := strings.Cut(a, "=")
		if flag != "--"+name && flag != "-"+name {
			continue
		}
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		all = append(all, value)
	}
	return all
}

// JSON says whether messages are for programs: no place for a bar that moves.
func JSON() bool { return log.JSON }

// Log prints lines of what a program does with the machine in dir to standard error.
func Log(prog, dir string) func(fault.ID, string) {
	l := fault.Log{Out: os.Stderr, Program: prog, Machine: machine(dir), JSON: log.JSON}
	return l.Say
}

// Say prints lines of what a program does to standard error.
func Say(prog string) func(string) {
	return func(line string) {
		l := *log
		l.Program = prog
		l.Say("", line)
	}
}

// About says that all is about the machine in dir.
func About(dir string) { log.Machine = machine(dir) }

func terminal() bool {
	_, err := unix.IoctlGetTermios(2, unix.TCGETS)
	return err == nil
}

// In says that err is about the machine in dir.
func In(dir string, err error) error {
	if err == nil {
		return nil
	}
	return fault.In(machine(dir), err)
}

// machine is the name of the machine in dir, "" if it can be none; for programs only.
func machine(dir string) string {
	if !log.JSON || dir == "" {
		return ""
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir
	}
	if real, err = filepath.Abs(real); err != nil || settings.CheckName(filepath.Base(real)) != nil {
		return ""
	}
	return filepath.Base(real)
}
