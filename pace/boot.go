package pace

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/process"
)

// A Guest is what of one has to be known to see whether it has booted.
type Guest struct {
	User      int          `json:"user"` // who has no other guest
	Name      string       `json:"name"`
	On        string       `json:"on,omitempty"` // interface on which it answers; "": it has no network
	Addresses []netip.Addr `json:"addresses,omitempty"`
}

// A boot is a slot that is taken: the file "boot." and the number of the guest's user.
type boot struct {
	process.ID
	Taken time.Duration `json:"taken"` // by the host's clock, nanoseconds
	Guest
}

const boots = "boot."

func (b boot) file() string { return fmt.Sprint(boots, b.User) }

// same: the same slot, not the same guest's next one.
func (b boot) same(other boot) bool { return b.ID == other.ID && b.Taken == other.Taken }

// standing: its process lives, and has not had its time.
func (b boot) standing(limit time.Duration) bool {
	age := now() - b.Taken
	return 0 <= age && age < limit && b.Lives()
}

func parseBoot(text []byte) (b boot, ok bool) {
	err := json.Unmarshal(text, &b)
	return b, err == nil && b.PID > 0
}

// read is the slot of a name. Who was killed as he wrote it has left half of it, and has
// not started.
func (d *directory) read(name string) (boot, bool) {
	text, err := d.ReadFile(name)
	if err != nil {
		return boot{}, false
	}
	return parseBoot(text)
}

// begin takes the slot, under the directory's lock.
func (d *directory) begin(b boot) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return d.WriteFile(b.file(), text, 0o600)
}

// end lets it go, under the directory's lock.
func (d *directory) end(b boot) error {
	is, ok := d.read(b.file())
	if ok && !is.same(b) {
		return nil
	}
	if err := d.Remove(b.file()); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// standing are those who boot. Of others the file is removed, under the directory's lock.
func (d *directory) standing(names []string, limit time.Duration) (all []boot, err error) {
	for _, name := range names {
		if !strings.HasPrefix(name, boots) {
			continue
		}
		b, ok := d.read(name)
		if ok && b.standing(limit) {
			all = append(all, b)
			continue
		}
		if e := d.Remove(name); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return all, err
}
