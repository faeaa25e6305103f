package disc

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/lock"
	"uml/settings"
)

// An access is what is to be done with a file.
type access int

const (
	look  access = iota // it may be in use, and change meanwhile
	read                // it must not change: no guest writes it
	write               // no guest has it
)

// open opens the file that lies there, judged by its descriptor.
func (p *Place) open(a access) (*os.File, error) {
	at, err := p.at()
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if err := p.judge(at, a); err != nil {
		return nil, err
	}
	var f *os.File
	if a == write {
		f, err = at.Reopen(unix.O_RDWR)
	} else { // a file of root's that he cannot read may have got there by a hard link, or mv
		err = p.as(func() (err error) {
			f, err = at.Reopen(unix.O_RDONLY)
			return err
		})
	}
	if err != nil {
		return nil, p.explain(err)
	}
	if a == look {
		return f, nil
	}
	if err := p.hold(f, a); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (p *Place) at() (*handle.File, error) {
	at, err := p.dir.Open(p.name)
	if err != nil {
		return nil, fault.Permanent("%s: %w", p.Path, bare(err))
	}
	at.Path = p.Path
	return at, nil
}

// judge: in a jail what is written is the user's or root's and has one name, or it would
// change where nobody looks; elsewhere it is whose program this is.
func (p *Place) judge(at *handle.File, a access) error {
	if err := at.Regular(); err != nil {
		return err
	}
	uid := int(at.Stat.Uid)
	if p.Machine != nil && uid != 0 && uid != p.Machine.User.UID {
		return fault.Permanent("%s: belongs to user %d, neither %s nor root (try: chown %s %s)", p.Path, uid, p.Machine.User.Name, p.Machine.User.Name, p.Path)
	}
	p.found = settings.Account{UID: uid, GID: int(at.Stat.Gid)}
	if a != write {
		return nil
	}
	if p.Machine == nil && uid != os.Geteuid() {
		return fault.Permanent("%s: belongs to user %d, and is changed by nobody else (run it as that user)", p.Path, uid)
	}
	if at.Stat.Nlink != 1 {
		return fault.Permanent("%s: has %d names (hard links); a disc that is written has one", p.Path, at.Stat.Nlink)
	}
	return nil
}

func (p *Place) explain(err error) error {
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ETXTBSY) {
		return fault.Permanent("%s: %w", p.Path, bare(err))
	}
	return err
}

// hold locks it as a start does. A start that waited for the lock looks whether the file
// still has its name.
func (p *Place) hold(f *os.File, a access) error {
	if err := lock.TakeDisc(f, a == read); err != nil {
		return err
	}
	if err := lock.Unopened(f, a == read); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", p.Path, err)
	}
	if st.Nlink == 0 {
		return fault.Temporary("%s: was replaced or deleted meanwhile", p.Path)
	}
	return nil
}
