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
	"uml/settings"
)

// discs opens, judges, locks and brings in every disc that is set, or that is
// not set but there. It returns those that the guest will have.
func (s *start) discs(in *handle.Dir) ([]settings.Disc, error) {
	var have []settings.Disc
	var errs []error
	opened := files{}
	for _, d := range s.m.Discs {
		there, err := s.disc(in, d, opened)
		if errors.Is(err, errAbsent) {
			err = fault.DiscMissing.Of(err)
		}
		if err != nil {
			errs = append(errs, fault.DiscBad.Of(err))
			continue
		}
		if there {
			have = append(have, d)
		}
	}
	// With an initrd of its own the root is what that makes it. One beside the kernel is for
	// many machines, and has root= as it is.
	if len(errs) == 0 && s.m.Initrd == "" && !rootThere(s.m.Root, have) {
		errs = append(errs, fault.DiscMissing.Permanent("%s: there is no such file, and settings/root is %s", in.Join("ubd"+rootNumber(s.m.Root)), s.m.Root))
	}
	return have, errors.Join(errs...)
}

func (s *start) disc(in *handle.Dir, d settings.Disc, opened files) (there bool, err error) {
	f, err := s.bringDisc(in, d.File, d.ReadOnly, opened)
	if d.Optional && errors.Is(err, errAbsent) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if d.Backing == "" {
		s.seeRaw(f)
		return true, nil
	}
	backing, err := s.bringDisc(in, d.Backing, true, opened)
	if err != nil {
		return true, err
	}
	return true, s.judgePair(d, f, backing)
}

// files are the discs of this start by device and inode. The same file written
// by two of them would be destroyed; only read, it is brought in once.
type files map[[2]uint64]opening

type opening struct {
	path     string
	readOnly bool
	file     *os.File
}

// bringDisc returns the disc, opened by the user's rights, which the start keeps.
func (s *start) bringDisc(in *handle.Dir, name string, readOnly bool, opened files) (*os.File, error) {
	f, err := s.openFile(in, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := s.judgeDisc(f, readOnly); err != nil {
		return nil, err
	}
	id := [2]uint64{f.Stat.Dev, f.Stat.Ino}
	if other, ok := opened[id]; ok {
		if !readOnly || !other.readOnly {
			return nil, fault.DiscBad.Permanent("%s: is the same file as %s", f.Path, other.path)
		}
		if other.path == f.Path {
			return other.file, nil
		}
	}
	file, err := s.lockDisc(f, readOnly)
	if err != nil {
		return nil, err
	}
	opened[id] = opening{f.Path, readOnly, file}
	access := jail.ReadWrite
	if readOnly {
		access = jail.ReadOnly
	}
	return file, s.room.Bring(f, inJail(name), access)
}

// judgeDisc: a file in the jail is the user's or root's. A second name for one
// that is written would let it change where nobody looks.
func (s *start) judgeDisc(f *handle.File, readOnly bool) error {
	if err := f.Regular(); err != nil {
		return err
	}
	if !s.mayOwn(f.Stat.Uid) {
		return fault.DiscBad.Permanent("%s: belongs to user %d, neither %s nor root (try: chown %s %s)", f.Path, f.Stat.Uid, s.m.User.Name, s.m.User.Name, f.Path)
	}
	if f.Stat.Nlink != 1 && !readOnly {
		return fault.DiscBad.Permanent("%s: has %d names (hard links); a disc that is written has one", f.Path, f.Stat.Nlink)
	}
	if f.Stat.Size < 512 {
		return fault.DiscBad.Permanent("%s: is %d bytes, no disc (try: truncate -s 1G %s)", f.Path, f.Stat.Size, f.Path)
	}
	return nil
}

// lockDisc opens the disc and locks it: the kernel itself locks a disc only when the
// guest first opens it.
func (s *start) lockDisc(f *handle.File, readOnly bool) (*os.File, error) {
	file, err := s.openDisc(f, readOnly)
	if err != nil {
		return nil, err
	}
	s.keep = append(s.keep, file)
	s.on = append(s.on, f.Stat.Dev)
	if err := s.seeDisc(f, file, readOnly); err != nil {
		return nil, err
	}
	s.plan("lock", "%s: %v, %s", f.Path, settings.Size(f.Stat.Size), verb(readOnly))
	if s.DryRun {
		return file, nil
	}
	if err := lock.TakeDisc(file, readOnly); err != nil {
		return nil, err
	}
	return file, errors.Join(lock.Unopened(file, readOnly), stillNamed(file))
}

// openDisc opens it as the user, which shows whether the kernel can.
func (s *start) openDisc(f *handle.File, readOnly bool) (*os.File, error) {
	flags := unix.O_RDWR
	if readOnly {
		flags = unix.O_RDONLY
	}
	var file *os.File
	err := handle.As(s.m.User.UID, s.m.User.GID, func() (err error) {
		file, err = f.Reopen(flags)
		return err
	})
	var refused *os.PathError
	if errors.As(err, &refused) && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)) {
		return nil, fault.DiscBad.Permanent("%s: %s cannot %s it (%w; try: chown %s %s, or flags=r)", f.Path, s.m.User.Name, verb(readOnly), refused.Err, s.m.User.Name, f.Path)
	}
	return file, err
}

func verb(readOnly bool) string {
	if readOnly {
		return "read"
	}
	return "write"
}

// stillNamed: what changes a disc, as uml-disk does, puts another file in its place while
// it holds the lock.
func stillNamed(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	if st.Nlink == 0 {
		return fault.DiscBad.Temporary("%s: was replaced or deleted while its lock was waited for", f.Name())
	}
	return nil
}

// rootThere says whether the root device is one that the guest will have, as
// far as its name tells: it may well be none of the discs (an initrd, LABEL=).
func rootThere(root string, have []settings.Disc) bool {
	n := rootNumber(root)
	return n == "" || slices.ContainsFunc(have, func(d settings.Disc) bool { return fmt.Sprint(d.N) == n })
}

// rootNumber is the N of /dev/ubda, /dev/ubd0 and the paper's ubd/0.
func rootNumber(root string) string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(root, "/dev/"), "ubd")
	rest = strings.TrimPrefix(rest, "/")
	if !ok || len(rest) != 1 {
		return ""
	}
	switch c := rest[0]; {
	case c >= '0' && c <= '7':
		return rest
	case c >= 'a' && c <= 'h':
		return string('0' + c - 'a')
	}
	return ""
}
