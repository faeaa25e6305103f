package estate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"uml/appliance"
	"uml/fault"
	"uml/handle"
	"uml/job"
	"uml/runscript"
	"uml/service"
	"uml/settings"
)

// New makes a machine of a template. All that is wrong with the specification, and all that is
// in use already, is said at once, before anything is made.
func New(ctx context.Context, o Options, s Spec) (*Report, error) {
	d, err := o.draft(s)
	if err != nil {
		return nil, err
	}
	d.useTemplate()
	if d.image != nil {
		defer d.image.Close()
	}
	d.useKernel()
	d.settle()
	need := int64(0)
	if d.image != nil && !d.COW {
		need = d.image.Taken
	}
	d.fault(d.roomFor(need))
	if o.DryRun {
		d.faults = append(d.faults, d.inUse()...)
		if err := d.judged(); err != nil {
			return nil, err
		}
		return nil, d.print(o.Out)
	}
	return d.make(ctx, makeDisc)
}

// make is the same for a machine of a template and of another: discs makes its discs.
func (d *draft) make(ctx context.Context, discs func(context.Context, *draft, *stage, settings.Account) error) (r *Report, err error) {
	begun := time.Now()
	st, err := d.o.claim(ctx, d.root, d.Name, note{Account: d.Account, User: d.Account, Home: d.home, Settings: d.Settings}, func() error {
		d.faults = append(d.faults, d.inUse()...)
		return d.judged()
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(Full(err), d.o.undo(ctx, st))
		}
	}()
	made := make(chan error, 1)
	var s *secrets
	go func() {
		var err error
		s, err = d.makeSecrets()
		made <- err
	}()
	d.step("account %s, directory %s", d.Account, d.dir)
	a, err := st.addAccount(ctx, shell())
	if err != nil {
		return nil, err
	}
	jail := filepath.Join(st.dir, "jail")
	if err := errors.Join(os.Mkdir(jail, 0o755), os.Chown(jail, a.UID, a.GID)); err != nil {
		return nil, err
	}
	d.step("disc, %v", d.Disc)
	if err := discs(ctx, d, st, a); err != nil {
		return nil, err
	}
	if err := <-made; err != nil {
		return nil, err
	}
	d.fit.Fresh, d.fit.Root = &s.fresh, &s.root
	d.step("names, network, keys and passwords, by a throw-away guest")
	answer, err := d.run(ctx, st.dir, job.Job{Root: d.m.Root, Scratch: true, Grow: d.image != nil && int64(d.Disc) > d.image.Size, Fit: d.fit})
	if err != nil {
		return nil, err
	}
	logs, err := d.furnish(ctx, st)
	if err != nil {
		return nil, err
	}
	if err := ended(ctx); err != nil { // from here on it is made
		return nil, err
	}
	if err := st.settle(); !st.settled() {
		return nil, err
	} else if err != nil {
		logs = append(logs, fault.Line(err.Error()))
	}
	r = d.report(s, a, answer)
	r.Took = time.Since(begun).Seconds()
	r.Notes = append(r.Notes, logs...)
	if d.Activate {
		if err := d.activate(); err != nil {
			r.Notes = append(r.Notes, "not activated: "+fault.Line(err.Error())+" (try: uml-ctl activate "+d.Name+")")
			return r, nil
		}
		r.Activated = true
	}
	return r, nil
}

// run has an appliance do the job on the discs of a machine directory, by its account, and
// waits until it is on the host's disc.
func (d *draft) run(ctx context.Context, dir string, j job.Job) (*job.Answer, error) {
	discs := map[string]string{}
	for n := range 8 {
		name := fmt.Sprintf("ubd%d", n)
		if v := d.Settings[name]; v != "" {
			discs[name] = v
		}
	}
	kernel := d.applianceKernel
	if kernel == "" {
		kernel = d.Settings["kernel"]
	}
	answer, err := appliance.Run(ctx, appliance.Options{Dir: dir, User: d.Account, Kernel: kernel, Settings: discs, HostDir: d.o.HostDir}, j)
	if err != nil {
		return nil, err
	}
	if answer.Facts == nil || answer.Facts.Fitted == nil {
		return nil, fault.Permanent("the appliance did not say what it has done")
	}
	return answer, syncDiscs(filepath.Join(dir, "jail"))
}

// furnish writes what a start and its supervisor look for: settings, run, log.
func (d *draft) furnish(ctx context.Context, s *stage) (notes []string, err error) {
	if err := writeSettings(s.dir, d.Settings); err != nil {
		return nil, err
	}
	for _, left := range []string{"lock", "jail/uml"} { // the appliance's
		if err := os.RemoveAll(filepath.Join(s.dir, left)); err != nil {
			return nil, err
		}
	}
	if _, err := exec.LookPath("multilog"); err != nil {
		return []string{"no log: there is no multilog on this host (Debian: daemontools)"}, os.Symlink(runscript.Program(), filepath.Join(s.dir, "run"))
	}
	a, err := logAccount(ctx, s.root)
	if err != nil {
		return nil, err
	}
	main := filepath.Join(s.dir, "log/main")
	if err := os.MkdirAll(main, 0o755); err != nil {
		return nil, err
	}
	return nil, errors.Join(
		os.Chown(main, a.UID, a.GID),
		script(filepath.Join(s.dir, "log/run"), "exec setuidgid "+a.Name+" multilog t ./main\n"),
		script(filepath.Join(s.dir, "run"), "exec 2>&1\nexec "+runscript.Program()+"\n"),
		syncDir(filepath.Join(s.dir, "log")),
		os.Chmod(s.dir, os.ModeSticky|0o755), // svscan starts the log too
	)
}

// script writes a program of the shell, and waits until it is on the disc.
func script(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = f.WriteString("#!/bin/sh\n" + text)
	return errors.Join(err, f.Sync(), f.Close())
}

func writeSettings(dir string, all map[string]string) error {
	if err := os.RemoveAll(filepath.Join(dir, "settings")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "settings"), 0o755); err != nil {
		return err
	}
	at, err := handle.OpenDir(dir)
	if err != nil {
		return err
	}
	defer at.Close()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := settings.Write(at, name, all[name]); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) activate() error {
	m, err := service.Open(d.dir, d.o.Service)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Activate(d.o.Say)
}

// Full marks the error of a full filesystem: it may be less full later.
func Full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fault.Temporary("%w", err)
	}
	return err
}
