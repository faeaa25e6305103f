package overlay

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// headSize holds the superblock of every filesystem that a base may have: that of
// btrfs, which is the last, lies at 64 KiB.
const headSize = 68 << 10

// sameBase refuses a base that is not the one on which the writable disc was begun:
// what is kept there of it, by name and inode number, would be of other files. A
// filesystem that was mounted for writing, or made anew, has another superblock.
func sameBase(device, note string) error {
	sum, err := head(device)
	if err != nil {
		return err
	}
	was, err := os.ReadFile(note)
	if errors.Is(err, os.ErrNotExist) {
		return write(note, sum)
	}
	if err != nil {
		return err
	}
	if string(was) != sum {
		return fmt.Errorf("was begun on another base than %s is now (put that back; if nothing but its superblock has changed, remove the file base from the disc)", device)
	}
	return nil
}

func head(device string) (string, error) {
	f, err := os.Open(device)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := fnv.New128a() // against mishaps: who writes the base is trusted
	if _, err := io.Copy(h, io.LimitReader(f, headSize)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x\n", h.Sum(nil)), nil
}

// write leaves no part of a note if the guest ends meanwhile.
func write(note, text string) error {
	f, err := os.Create(note + ".new")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(note+".new", note)
}
