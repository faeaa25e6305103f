package fault

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

type own struct{ error }

func (own) FaultID() ID { return DiscInUse }

// Who knows best, the innermost, has named it; words, exit code and parts stay.
func TestIDOf(t *testing.T) {
	held := LockHeld.Temporary("held")
	both := errors.Join(Permanent("a"), held)
	for _, c := range []struct {
		name string
		err  error
		want ID
		code int
	}{
		{"permanent", Permanent("x"), MustMendID, MustMend},
		{"temporary", Temporary("x"), MayPassID, MayPass},
		{"plain", errPlain, MayPassID, MayPass},
		{"named", held, LockHeld, MayPass},
		{"wrapped", fmt.Errorf("start: %w", held), LockHeld, MayPass},
		{"wrapped by a fault", Permanent("start: %w", held), LockHeld, MustMend},
		{"wrapped by a named one", SettingBad.Permanent("start: %w", held), LockHeld, MustMend},
		{"of a plain fault", DiscBad.Of(Permanent("x")), DiscBad, MustMend},
		{"of a named one", DiscBad.Of(held), LockHeld, MayPass},
		{"of a system call's", DiscBad.Of(unix.EIO), MayPassID, MayPass},
		{"in a sentence of two", Temporary("%w and %w", errPlain, held), LockHeld, MayPass},
		{"another type", Temporary("x: %w", own{errPlain}), DiscInUse, MayPass},
		{"of another type", DiscBad.Of(own{errPlain}), DiscInUse, MayPass},
		{"nil", DiscBad.Of(nil), MayPassID, OK},
	} {
		if id, code := IDOf(c.err), Code(c.err); id != c.want || code != c.code {
			t.Errorf("%s: %s (%d), want %s (%d)", c.name, id, code, c.want, c.code)
		}
	}
	parts := Parts(In("web", DiscBad.Of(both)))
	if len(parts) != 2 || IDOf(parts[0]) != DiscBad || IDOf(parts[1]) != LockHeld || errors.Join(parts...).Error() != both.Error() {
		t.Errorf("parts are %q", parts)
	}
	if MachineOf(parts[1]) != "web" || MachineOf(held) != "" {
		t.Errorf("about %q, %q", MachineOf(parts[1]), MachineOf(held))
	}
}
