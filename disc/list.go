package disc

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// List prints the discs of a machine.
func List(o Options, machine string, asJSON bool) error {
	dir, err := handle.OpenDir(machine)
	if err != nil {
		return fault.MachineMissing.Permanent("%s: there is no such machine directory", machine)
	}
	defer dir.Close()
	m, faults := settings.Read(dir)
	if m == nil || m.User.UID == 0 {
		return faults
	}
	all := []Report{}
	for _, d := range m.Discs {
		r, err := listed(m, fmt.Sprintf("ubd%d", d.N), d.File)
		if d.Optional && errors.Is(err, unix.ENOENT) {
			continue
		}
		all = append(all, r)
	}
	if m.Swap > 0 {
		r, _ := listed(m, "swap", "swap")
		all = append(all, r)
	}
	if asJSON {
		return printJSON(o.Out, all)
	}
	return table(o.Out, all)
}

func listed(m *settings.Machine, device, file string) (r Report, err error) {
	host := file
	if !path.IsAbs(file) {
		host = path.Join(m.Dir, "jail", file)
	}
	p, f, err := openTo(host, look)
	if err != nil {
		return Report{Device: device, File: host, Fault: err.Error()}, err
	}
	defer p.Close()
	defer f.Close()
	if r, err = p.report(f); err == nil {
		r.PIDs, err = users(f)
	}
	if err != nil {
		r.Fault = err.Error()
	}
	r.Device, r.File = device, host
	return r, nil
}

func table(w io.Writer, all []Report) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "DEVICE\tSIZE\tON DISC\tFORMAT\tHOLDS\tUSED BY\tFILE")
	for _, r := range all {
		holds, pids, file := "-", "-", r.File
		if len(r.Filesystems) > 0 {
			holds = r.Filesystems[0].Kind
			if n := len(r.Filesystems); n > 1 {
				holds = fmt.Sprintf("%d partitions", n)
			}
		}
		if len(r.PIDs) > 0 {
			pids = strings.Trim(fmt.Sprint(r.PIDs), "[]")
		}
		if r.COW != nil {
			file += " on " + r.COW.Backing
			if r.COW.State != "unchanged" {
				file += " (" + r.COW.State + ")"
			}
		}
		if r.Fault != "" {
			file += " (" + r.Fault + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Device, human(r.Size), human(r.OnDisc), r.Format, holds, pids, fault.Line(file))
	}
	return t.Flush()
}
