package estate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/runscript"
	"uml/service"
	"uml/settings"
)

// A parting is a machine that somebody takes apart, copies or renames: held, and known to be down.
type parting struct {
	o    Options
	root string
	name string
	dir  string
	lock *hold // of the name; nil in a dry run where nobody can be at work
	at   *handle.Dir
	m    *settings.Machine
	held *os.File // the machine's lock, from quiet on
}

// take opens it, and refuses one that runs.
func (o Options) take(root, name string) (*parting, error) {
	p, err := o.seize(root, name)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.moves(), p.down()); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// moves refuses one of which another host may have most, or all.
func (p *parting) moves() error {
	j, err := readJournal(p.dir)
	if j == nil || err != nil {
		return err
	}
	return j.under(p.name)
}

// seize opens it, whether it runs or not, for this uml-machine alone.
func (o Options) seize(root, name string) (p *parting, err error) {
	p = &parting{o: o, root: root, name: name, dir: filepath.Join(root, name)}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if st, err := os.Lstat(p.dir); err != nil || !st.IsDir() {
		return p, errors.Join(forget(root, name), p.missing())
	}
	if _, err := os.Lstat(filepath.Join(root, staging)); err == nil || !o.DryRun {
		if p.lock, err = holdName(root, name); err != nil {
			return p, err
		}
	}
	if p.at, err = handle.OpenDir(p.dir); errors.Is(err, os.ErrNotExist) { // removed meanwhile
		return p, p.missing()
	}
	if err != nil {
		return p, err
	}
	if err := p.at.RootsAlone(); err != nil {
		return p, err
	}
	p.m, err = settings.Read(p.at)
	if p.m == nil || p.m.User.UID == 0 { // other faults are no matter here
		return p, err
	}
	return p, nil
}

func (p *parting) missing() error {
	return fault.MachineMissing.Permanent("%s: there is no such machine", p.dir)
}

func (p *parting) close() {
	if p == nil {
		return
	}
	if p.held != nil {
		p.held.Close()
	}
	if p.at != nil {
		p.at.Close()
	}
	if p.lock != nil {
		p.lock.Close()
	}
}

// down refuses a guest that runs, a start, and whoever is logged in.
func (p *parting) down() error {
	k, by, err := runscript.Kernel(p.at)
	switch {
	case err != nil:
		return err
	case k != nil:
		return fault.Temporary("%s: its guest runs, process %d (try: uml-ctl stop %s)", p.name, k.PID, p.name)
	case by != 0:
		return fault.Temporary("%s: is held by process %d (try: uml-ctl stop %s)", p.name, by, p.name)
	}
	return nil
}

// quiet ends what is around a guest that is down, and takes its lock: from then on it is nobody
// else's.
func (p *parting) quiet(ctx context.Context) error {
	s, err := service.Open(p.dir, p.o.Service)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Deactivate(ctx, enough, runscript.Options{HostDir: p.o.HostDir, Out: p.o.Out, Say: func(_ fault.ID, line string) { p.o.Say(line) }}); err != nil {
		return err
	}
	return p.takeLock()
}

func (p *parting) takeLock() (err error) {
	if p.held, err = lock.Open(p.at); err != nil {
		return err
	}
	if err := lock.Take(p.held, p.m.User.UID, p.o.Say); err != nil {
		return err
	}
	if err := lock.Alone(p.m.User.Name, p.m.User.UID); err != nil {
		return err
	}
	pids, err := processes(p.m.User.UID)
	if err == nil && len(pids) > 0 {
		err = fault.Temporary("account %s has processes: %s (somebody is logged in?)", p.m.User.Name, strings.Trim(fmt.Sprint(pids), "[]"))
	}
	return err
}

// ours says whether the account is the machine's own, by its home.
func (p *parting) ours() (home string, ok bool) {
	u, err := lookHome(p.m.User.Name)
	if err != nil {
		return "", false
	}
	real, err := filepath.EvalSymlinks(u)
	return u, u == p.dir || err == nil && real == p.dir
}

// discFiles are the files in the jail that the machine writes as discs.
func (p *parting) discFiles() (all []string) {
	for _, d := range p.m.Discs {
		for _, f := range []string{d.File, d.Backing} {
			if f != "" && !filepath.IsAbs(f) {
				all = append(all, f)
			}
		}
	}
	return all
}
