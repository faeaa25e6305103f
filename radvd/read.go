package radvd

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
	"uml/settings"
)

// read reads the link of every machine of the root. What there is no machine by its
// kind or name is uml-check's to tell.
func read(machines string) ([]link, error) {
	entries, err := os.ReadDir(machines)
	if errors.Is(err, unix.ENOENT) {
		return nil, fault.Permanent("%s: there is no such directory (try: install -d -m 755 %s)", machines, machines)
	}
	if err != nil {
		return nil, err
	}
	var links []link
	for _, e := range entries {
		if settings.CheckName(e.Name()) != nil {
			continue
		}
		switch path := filepath.Join(machines, e.Name()); {
		case e.IsDir():
			links = append(links, link{machine: e.Name()})
		case e.Type() == os.ModeSymlink && mayBeDir(path):
			links = append(links, link{machine: e.Name(), err: fault.Permanent("%s: is a symbolic link, so no machine (move the directory there, or remove the link)", path)})
		}
	}
	// In pieces: to hand over 10,000 machines one by one takes as long as to read them.
	var readers sync.WaitGroup
	var accounts settings.Accounts
	piece := len(links)/runtime.GOMAXPROCS(0) + 1
	for at := 0; at < len(links); at += piece {
		some := links[at:min(at+piece, len(links))]
		readers.Go(func() {
			for i := range some {
				if some[i].err == nil {
					some[i].read(machines, &accounts)
				}
			}
		})
	}
	readers.Wait()
	return links, nil
}

// mayBeDir says whether a link leads to a directory, or may when what it leads to is
// mounted: such a machine was moved, and its guest goes on.
func mayBeDir(link string) bool {
	st, err := os.Stat(link)
	return err != nil || st.IsDir()
}

func (l *link) read(machines string, accounts *settings.Accounts) {
	dir, err := handle.OpenDir(filepath.Join(machines, l.machine))
	if errors.Is(err, unix.ENOENT) {
		return // gone meanwhile
	}
	if err != nil {
		l.err = err
		return
	}
	defer dir.Close()
	l.Link, l.err = settings.ReadLink(dir, l.machine, accounts)
}
