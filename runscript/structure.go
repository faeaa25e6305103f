package runscript

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/jail"
	"uml/kernel"
	"uml/program"
	"uml/settings"
)

func openMachine(name string) (*handle.Dir, error) {
	dir, err := handle.OpenDir(name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, fault.MachineMissing.Permanent("%s: there is no such machine directory", name)
	}
	return dir, err
}

// checkOwner: whoever can write the machine directory can replace the lock, the
// settings and the jail itself.
func (s *start) checkOwner() error {
	return errors.Join(s.rootsAlone("."), s.rootsAlone("settings"))
}

func (s *start) rootsAlone(name string) error {
	d, err := s.dir.Dir(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.RootsAlone()
}

// structure is step 4: every file that the kernel will use is opened once, below
// the jail and by descriptor, judged by that descriptor, and that descriptor is
// what the jail gets. All faults are reported together; the swap, the only thing
// that is made, is made when nothing else is wrong.
func (s *start) structure() error {
	s.makeRoom()
	s.findGroups()
	in, err := s.openJail()
	if err != nil {
		return err
	}
	defer in.Close()
	image, err := s.kernel(in)
	kernelErr := fault.KernelBad.Of(err)
	initrdErr := fault.InitrdBad.Of(errors.Join(s.initrd(in, image), s.modules()))
	discs, discErr := s.discs(in)
	old, err := s.findSwap(in)
	swapErr := fault.JailBad.Of(err)
	if old != nil {
		defer old.Close()
	}
	if err := errors.Join(s.lockMemory(), kernelErr, initrdErr, discErr, s.umlDir(in), swapErr); err != nil {
		return err
	}
	if s.args, err = arguments(s.m, s.with(discs), image, s.beside.initrd != nil, s.tapNumber()); err != nil {
		return fmt.Errorf("%s: %w", s.m.Kernel, err)
	}
	if err := s.swap(in, old); err != nil {
		return err
	}
	if err := s.shares(); err != nil {
		return err
	}
	for _, f := range s.keep {
		s.room.Keep = append(s.room.Keep, uint(f.Fd()))
	}
	return nil
}

func (s *start) makeRoom() {
	s.room = &jail.Jail{
		Account: s.m.User, Memory: s.m.Mem,
		NoFile: s.m.NoFile, NProc: s.m.NProc, Nice: s.m.Nice,
		Tun:     s.m.Net.Kind != settings.None && !s.m.HandsOver(),
		Seccomp: s.m.Seccomp, OwnFilter: s.m.UnderSeccomp(),
		Umid: s.m.Name, Terminals: terminals(s.m.Channels),
		Env: []string{"TMPDIR=/tmp"},
		Dry: s.DryRun,
	}
}

func terminals(channels []settings.Channel) (n int) {
	for _, c := range channels {
		if c.Terminal() {
			n++
		}
	}
	return n
}

func (s *start) openJail() (*handle.Dir, error) {
	in, err := s.dir.Dir("jail")
	if errors.Is(err, unix.ENOENT) {
		return nil, fault.JailBad.Permanent("%s: there is no such directory (try: install -d -o %s %s)", s.dir.Join("jail"), s.m.User.Name, s.dir.Join("jail"))
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fault.JailBad.Permanent("%s: is not a directory", s.dir.Join("jail"))
	}
	if err != nil {
		return nil, err
	}
	st, err := in.Stat()
	if err == nil && (!s.mayOwn(st.Uid) || st.Mode&0o002 != 0) {
		err = fault.JailBad.Permanent("%s: must be root's or %s's and no other's (try: chown %s %s; chmod o-w %s)", in.Path, s.m.User.Name, s.m.User.Name, in.Path, in.Path)
	}
	// What root makes in a jail of its own, or gives away, nobody may have renamed.
	if err == nil && st.Uid == 0 && st.Mode&0o020 != 0 {
		err = fault.JailBad.Permanent("%s: is root's, and its group can change it (try: chmod g-w %s)", in.Path, in.Path)
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

func (s *start) mayOwn(uid uint32) bool { return uid == 0 || int(uid) == s.m.User.UID }

// kernel judges the image and brings it in, with the libraries that it names. Where it
// lies is looked what lies beside it.
func (s *start) kernel(in *handle.Dir) (*kernel.Image, error) {
	f, err := s.openFile(in, s.m.Kernel)
	if errors.Is(err, errAbsent) {
		return nil, fault.KernelMissing.Of(err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := errors.Join(s.executable(f), s.lookBeside(f)); err != nil {
		return nil, err
	}
	if s.read, err = f.Reopen(unix.O_RDONLY); err != nil {
		return nil, err
	}
	image, err := kernel.Inspect(s.read)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	if !image.NoReboot {
		s.Say(fault.KernelReboots, fmt.Sprintf("warning: %s: has no argument noreboot, so a guest's reboot passes no check", f.Path))
	}
	if err := s.room.Bring(f, kernelName, jail.Execute); err != nil {
		return nil, err
	}
	if err := s.libraries(f.Path, image.Program); err != nil {
		return nil, err
	}
	s.plan("check", "%s: %s", f.Path, describe(image.Program))
	return image, nil
}

func describe(p *program.Program) string {
	if p.Interp == "" {
		return "static"
	}
	return "dynamic, " + strings.Join(append([]string{p.Interp}, p.Needed...), " ")
}

func (s *start) libraries(of string, p *program.Program) error {
	libs, err := s.findLibraries(p)
	if err != nil {
		return fmt.Errorf("%s: %w", of, err)
	}
	for _, l := range libs {
		if s.room.Has(l.Jail) {
			continue
		}
		f, err := handle.Open(l.Path)
		if err != nil {
			return err
		}
		err = s.room.Bring(f, l.Jail, jail.Execute)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// executable: by the user, and by the filesystem that it lies on.
func (s *start) executable(f *handle.File) error {
	if err := f.Regular(); err != nil {
		return err
	}
	if f.Stat.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		return fault.KernelBad.Permanent("%s: is set-uid or set-gid (try: chmod ug-s %s)", f.Path, f.Path)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(f.Fd(), &fs); err != nil {
		return fmt.Errorf("statfs %s: %w", f.Path, err)
	}
	if fs.Flags&unix.ST_NOEXEC != 0 {
		return fault.KernelBad.Permanent("%s: lies on a filesystem that is mounted noexec", f.Path)
	}
	return handle.As(s.m.User.UID, s.m.User.GID, func() error {
		err := f.Access(unix.X_OK)
		if errors.Is(err, unix.EACCES) {
			return fault.KernelBad.Permanent("%s: %s cannot execute it (try: chmod a+rx %s)", f.Path, s.m.User.Name, f.Path)
		}
		if err != nil {
			return fmt.Errorf("%s: whether %s can execute it: %w", f.Path, s.m.User.Name, err)
		}
		return nil
	})
}

var errAbsent = errors.New("there is no such file")

// openFile opens a file of the jail, or one of the host by its absolute path,
// which is the administrator's word: only root may be able to change where it
// leads.
func (s *start) openFile(in *handle.Dir, name string) (f *handle.File, err error) {
	if path.IsAbs(name) {
		f, err = openRooted(name)
	} else {
		f, err = in.Open(name)
	}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return nil, fault.Permanent("%s: %w", s.place(in, name), errAbsent)
	case errors.Is(err, unix.ELOOP):
		return nil, fault.Permanent("%s: leads over a symbolic link", s.place(in, name))
	}
	return f, err
}

func openRooted(name string) (*handle.File, error) {
	f, err := handle.Open(name)
	if err != nil {
		return nil, err
	}
	real, err := f.Real()
	if err == nil {
		err = handle.Rooted(path.Dir(real))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func (s *start) place(in *handle.Dir, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return in.Join(name)
}

// checkOutput: the guest's log is standard output; when its reader has died the
// kernel would die with it at its first line.
func (s *start) checkOutput() error {
	fds := []unix.PollFd{{Fd: 1}}
	if _, err := unix.Poll(fds, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("look at standard output: %w", err)
	}
	if fds[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0 {
		return fault.OutputClosed.Temporary("standard output is closed: the log that read it has died")
	}
	if nowhere(1) {
		s.Say(fault.OutputClosed, "warning: standard output is closed, so the guest's log is lost (>/dev/null says that it may be)")
	}
	return nil
}

// nowhere: the Go runtime opens /dev/null for reading and writing in place of a
// descriptor that was closed, so that no file of ours is taken for it.
func nowhere(fd int) bool {
	var st unix.Stat_t
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR &&
		unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}
