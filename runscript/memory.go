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
	"uml/handle"
	"uml/jail"
	"uml/mconsole"
	"uml/memory"
	"uml/settings"
)

// A guestMemory is the memory of a guest that runs.
type guestMemory struct {
	*mconsole.Client
	name    string
	pid     int
	started settings.Size // mem= of the kernel that runs
	low     settings.Size // what its kernel keeps
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
	d, err := openMachine(o.Dir)
	if err != nil {
		return err
	}
	defer d.Close()
	c, pid, err := dial(d)
	if err != nil {
		return err
	}
	defer c.Close()
	if size > 0 {
		change, err := reserve(ctx, c, path.Base(d.Path))
		if err != nil {
			return err
		}
		defer change.Close()
	}
	g, err := lookAtMemory(ctx, c, d, pid)
	if err != nil {
		return err
	}
	before, err := g.held()
	if err != nil {
		return err
	}
	was := g.now()
	if size > 0 {
		err = g.resize(ctx, size)
	}
	if err != nil && g.now() == was {
		return err
	}
	return errors.Join(err, g.tell(ctx, o, before))
}

func lookAtMemory(ctx context.Context, c *mconsole.Client, d *handle.Dir, pid int) (*guestMemory, error) {
	real, err := d.Real()
	if err != nil {
		return nil, err
	}
	g := &guestMemory{Client: c, pid: pid, name: real[strings.LastIndex(real, "/")+1:]}
	if g.started, err = startedWith(pid); err != nil {
		return nil, err
	}
	kept, err := g.sysctl(ctx, "vm/min_free_kbytes")
	if err != nil {
		return nil, err
	}
	low, err := strconv.ParseInt(strings.TrimSpace(kept), 10, 40)
	if err != nil || low < 0 {
		return nil, fault.Temporary("%s: the guest says its vm.min_free_kbytes is %q", g.name, kept)
	}
	g.low = settings.Size(low) << 10
	boot, err := g.sysctl(ctx, "kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	noted, err := jail.Noted(c.Process(), memoryNote)
	if err != nil {
		return nil, err
	}
	g.note = memory.ParseNote(noted, strings.Join(strings.Fields(boot), ""))
	return g, nil
}

// sysctl: its kernel hears before it has all of /proc/sys, and refuses until then.
func (g *guestMemory) sysctl(ctx context.Context, name string) (string, error) {
	text, err := g.Proc(ctx, "sys/"+name)
	if refusal := (*mconsole.Refusal)(nil); errors.As(err, &refusal) {
		return "", fault.Temporary("%w (it is booting)", err)
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

func (g *guestMemory) now() settings.Size { return g.started - g.note.Taken }

// held is what the guest's memory takes of the host's: all of its jail's /tmp.
func (g *guestMemory) held() (settings.Size, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(fmt.Sprintf("/proc/%d/root/tmp", g.pid), &fs); err != nil {
		return 0, fmt.Errorf("look at the guest's /tmp: %w", err)
	}
	return settings.Size(int64(fs.Blocks-fs.Bfree) * fs.Bsize), nil
}

func (g *guestMemory) info(ctx context.Context) (memory.Info, error) {
	text, err := g.Proc(ctx, "meminfo")
	if err != nil {
		return memory.Info{}, err
	}
	return memory.Parse(text)
}

func (g *guestMemory) resize(ctx context.Context, size settings.Size) error {
	size &^= 0xfff
	if size > g.started {
		return fault.SettingBad.Permanent("%s: was started with %v: it grows to that only (set settings/mem and restart it)", g.name, g.started)
	}
	if size < g.now() {
		return g.shrink(ctx, g.now()-size)
	}
	if size == g.now() {
		return nil
	}
	grow := size - g.now()
	if err := g.Plug(ctx, int64(grow)); err != nil {
		return err
	}
	return g.taken(-grow)
}

// shrink goes on as long as the guest gives.
func (g *guestMemory) shrink(ctx context.Context, wanted settings.Size) error {
	info, err := g.info(ctx)
	if err != nil {
		return err
	}
	if err := info.Enough(g.name, g.now(), wanted); err != nil {
		return err
	}
	for until := time.Now().Add(shrinkPatience); wanted > 0; {
		if step := info.Step(wanted, g.low); step > 0 {
			// Noted before: what is noted too much can be asked back, what is not is lost.
			if err := g.taken(step); err != nil {
				return err
			}
			if err := g.Unplug(ctx, int64(step)); err != nil {
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
		if info, err = g.info(ctx); err != nil {
			return err
		}
	}
	return nil
}

// shrinkPatience is how long a guest may take to free what it holds of files.
const shrinkPatience = 3 * time.Second

func (g *guestMemory) taken(more settings.Size) error {
	g.note.Taken = max(0, g.note.Taken+more)
	return jail.Note(g.Process(), memoryNote, g.note.String())
}

func (g *guestMemory) tell(ctx context.Context, o Options, before settings.Size) error {
	info, err := g.info(ctx)
	if err != nil {
		return err
	}
	after, err := g.held()
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%s: %v of %v, %v available; it holds %v of the host's", g.name, g.now(), g.started, round(info.Available), round(after))
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
