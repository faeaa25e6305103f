package runscript

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/jail"
	"uml/mconsole"
	"uml/memory"
	"uml/pressure"
	"uml/settings"
)

// A RAM is the memory of a guest that runs. It is held by the guest's process, whatever
// becomes of that.
type RAM struct {
	c       *mconsole.Client
	name    string
	pid     int
	started settings.Size // mem= of the kernel that runs
	note    memory.Note
}

const memoryNote = ".memory"

// Memory shrinks or grows the memory of a guest that runs to size, 0 to leave it, and
// prints what it is then. It needs root, and not the settings: what counts is what the
// guest was started with.
func Memory(ctx context.Context, o Options, size settings.Size) error {
	if os.Geteuid() != 0 {
		return fault.NeedRoot.Permanent("needs root")
	}
	g, err := OpenRAM(ctx, o.Dir)
	if err != nil {
		return err
	}
	defer g.Close()
	before, err := g.Held()
	if err != nil {
		return err
	}
	was := g.Now()
	if size > 0 {
		err = g.Resize(ctx, was, size)
	}
	if err != nil && g.Now() == was {
		return err
	}
	return errors.Join(err, g.tell(ctx, o, before))
}

// OpenRAM finds the memory of the guest that runs in the machine directory dir. It
// needs root. The guest's kernel is asked some words.
func OpenRAM(ctx context.Context, dir string) (*RAM, error) {
	d, err := openMachine(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	real, err := d.Real()
	if err != nil {
		return nil, err
	}
	c, pid, err := dial(d)
	if err != nil {
		return nil, err
	}
	g := &RAM{c: c, pid: pid, name: path.Base(real)}
	if g.started, err = startedWith(pid); err == nil {
		err = g.read(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return g, nil
}

// Close lets go of the guest.
func (g *RAM) Close() { g.c.Close() }

// read reads how much was taken.
func (g *RAM) read(ctx context.Context) error {
	boot, err := g.sysctl(ctx, "kernel/random/boot_id")
	if err != nil {
		return err
	}
	noted, err := jail.Noted(g.c.Process(), memoryNote)
	if err != nil {
		return err
	}
	g.note = memory.ParseNote(noted, strings.Join(strings.Fields(boot), ""))
	return nil
}

// sysctl: its kernel hears before it has all of /proc/sys, and refuses until then.
func (g *RAM) sysctl(ctx context.Context, name string) (string, error) {
	text, err := g.c.Proc(ctx, "sys/"+name)
	if refusal := (*mconsole.Refusal)(nil); errors.As(err, &refusal) {
		return "", fault.GuestRefuses.Temporary("%w (it is booting)", err)
	}
	return text, err
}

// startedWith is mem= among the kernel's arguments; the last counts.
func startedWith(pid int) (size settings.Size, err error) {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return 0, err
	}
	for arg := range strings.SplitSeq(string(args), "\x00") {
		if v, ok := strings.CutPrefix(arg, "mem="); ok {
			if size, err = settings.ParseSize(v); err != nil {
				return 0, err
			}
		}
	}
	if size == 0 {
		return 0, fault.Temporary("process %d: names no mem= in its arguments", pid)
	}
	return size, nil
}

// Started is what the guest was started with, and the most that it can have.
func (g *RAM) Started() settings.Size { return g.started }

// Now is what it has at present.
func (g *RAM) Now() settings.Size { return g.started - g.note.Taken }

// Held is what the guest's memory takes of the host's: all of its jail's /tmp.
func (g *RAM) Held() (settings.Size, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(fmt.Sprintf("/proc/%d/root/tmp", g.pid), &fs); err != nil {
		return 0, fmt.Errorf("look at the guest's /tmp: %w", err)
	}
	return settings.Size(int64(fs.Blocks-fs.Bfree) * fs.Bsize), nil
}

// Info is what the guest says of its memory.
func (g *RAM) Info(ctx context.Context) (memory.Info, error) {
	text, err := g.c.Proc(ctx, "meminfo")
	if err != nil {
		return memory.Info{}, err
	}
	return memory.Parse(text)
}

// Pressure is what the guest says its processes wait for memory, in percent of the last
// ten seconds; 0 where its kernel does not tell, as Debian's does not.
func (g *RAM) Pressure(ctx context.Context) (float64, error) {
	text, err := g.c.Proc(ctx, "pressure/memory")
	if refusal := (*mconsole.Refusal)(nil); errors.As(err, &refusal) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return pressure.Parse(text)
}

// Resize shrinks or grows the memory from what it was seen to be to size, as far as the
// guest gives it. With an error Now is what was come to.
func (g *RAM) Resize(ctx context.Context, from, size settings.Size) error {
	change, err := reserve(ctx, g.c, g.name)
	if err != nil {
		return err
	}
	defer change.Close()
	if err := g.read(ctx); err != nil {
		return err
	}
	if g.Now() != from {
		return fault.Temporary("%s: has %v by now, another has changed it", g.name, g.Now())
	}
	return g.resize(ctx, size)
}

func (g *RAM) resize(ctx context.Context, size settings.Size) error {
	size &^= 0xfff
	if size > g.started {
		return fault.SettingBad.Permanent("%s: was started with %v: it grows to that only (set settings/mem and restart it)", g.name, g.started)
	}
	if size < g.Now() {
		return g.shrink(ctx, g.Now()-size)
	}
	if size == g.Now() {
		return nil
	}
	grow := size - g.Now()
	if err := g.c.Plug(ctx, int64(grow)); err != nil {
		return err
	}
	return g.taken(-grow)
}

// shrink goes on as long as the guest gives.
func (g *RAM) shrink(ctx context.Context, wanted settings.Size) error {
	info, err := g.Info(ctx)
	if err != nil {
		return err
	}
	low, err := g.kept(ctx)
	if err != nil {
		return err
	}
	if err := info.Enough(g.name, g.Now(), wanted); err != nil {
		return err
	}
	for until := time.Now().Add(shrinkPatience); wanted > 0; {
		if step := info.Step(wanted, low); step > 0 {
			// Noted before: what is noted too much can be asked back, what is not is lost.
			if err := g.taken(step); err != nil {
				return err
			}
			if err := g.c.Unplug(ctx, int64(step)); err != nil {
				return err
			}
			wanted -= step
			until = time.Now().Add(shrinkPatience)
		}
		if time.Now().After(until) {
			return fault.GuestRefuses.Temporary("%s: gave all but %v and has no more free", g.name, wanted)
		}
		if wanted > 0 {
			if sleep(ctx, 20*time.Millisecond) != nil {
				return fault.GuestRefuses.Temporary("%s: gave all but %v until it was told to stop or the time was over (see --timeout)", g.name, wanted)
			}
		}
		if info, err = g.Info(ctx); err != nil {
			return err
		}
	}
	return nil
}

// kept is what the guest's kernel leaves free for itself.
func (g *RAM) kept(ctx context.Context) (settings.Size, error) {
	text, err := g.sysctl(ctx, "vm/min_free_kbytes")
	if err != nil {
		return 0, err
	}
	low, err := strconv.ParseInt(strings.TrimSpace(text), 10, 40)
	if err != nil || low < 0 {
		return 0, fault.Temporary("%s: the guest says its vm.min_free_kbytes is %q", g.name, text)
	}
	return settings.Size(low) << 10, nil
}

// shrinkPatience is how long a guest may take to free what it holds of files.
const shrinkPatience = 3 * time.Second

func (g *RAM) taken(more settings.Size) error {
	g.note.Taken = max(0, g.note.Taken+more)
	return jail.Note(g.c.Process(), memoryNote, g.note.String())
}

func (g *RAM) tell(ctx context.Context, o Options, before settings.Size) error {
	info, err := g.Info(ctx)
	if err != nil {
		return err
	}
	after, err := g.Held()
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%s: %v of %v, %v available; it holds %v of the host's", g.name, g.Now(), g.started, round(info.Available), round(after))
	if before > after {
		line += fmt.Sprintf(", which got %v back", round(before-after))
	}
	_, err = fmt.Fprintln(o.Out, line)
	return err
}

// round is a size that is read more easily.
func round(s settings.Size) settings.Size {
	if s > 8<<20 {
		return s &^ (1<<20 - 1)
	}
	return s &^ (1<<10 - 1)
}
