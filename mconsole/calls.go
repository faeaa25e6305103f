package mconsole

import (
	"context"
	"fmt"

	"uml/fault"
)

// The calls of a kernel's commands, one each (arch/um/drivers/mconsole_kern.c). They
// wait until the answer is whole or the context ends. Errors are those of Ask.

// Version is the kernel's uname line.
func (c *Client) Version(ctx context.Context) (string, error) { return c.do(ctx, "version") }

// CAD presses Ctrl-Alt-Del: the guest's init decides what comes of it.
func (c *Client) CAD(ctx context.Context) error { return c.just(ctx, "cad") }

// Pause stops the guest; its kernel still answers Version, Proc and Resume.
func (c *Client) Pause(ctx context.Context) error { return c.just(ctx, "pause") }

// Resume lets a paused guest go on. One that is not paused is a *Refusal.
func (c *Client) Resume(ctx context.Context) error { return c.just(ctx, "resume") }

// Halt ends the guest at once, nothing written back. The kernel answers before.
func (c *Client) Halt(ctx context.Context) error { return c.just(ctx, "halt") }

// Reboot does the same, as a reboot.
func (c *Client) Reboot(ctx context.Context) error { return c.just(ctx, "reboot") }

// Sysrq does one of the letters h, s, u and b; others can end the kernel.
func (c *Client) Sysrq(ctx context.Context, letter byte) (string, error) {
	return c.do(ctx, "sysrq", string(rune(letter)))
}

// Log writes a line of printable ASCII into the kernel's log.
func (c *Client) Log(ctx context.Context, line string) error { return c.just(ctx, "log", line) }

// Proc is a file of the guest's /proc, by its name there: "meminfo".
func (c *Client) Proc(ctx context.Context, file string) (string, error) {
	return c.do(ctx, "proc", file)
}

// Stack is the kernel's stack of a process of the guest, by its number there.
func (c *Client) Stack(ctx context.Context, pid int) (string, error) {
	return c.do(ctx, "stack", fmt.Sprint(pid))
}

// Config is what a device is joined to: "fd:110" for con1, a file for ubd0; "" if
// there is none. Network devices cannot be asked for.
func (c *Client) Config(ctx context.Context, device string) (string, error) {
	return c.do(ctx, "config", device)
}

// Configure gives the guest a device, as an argument of the kernel says it:
// "ubd3d=/annex/ubd3". Only ubd, eth and vec are: a console's other end is not
// changed under who looks at it, and memory has Unplug and Plug.
func (c *Client) Configure(ctx context.Context, argument string) error {
	if !isAdded(argument) {
		return fault.Usage.Permanent("%q is no device that can be added (ubdN=FILE, vecN:..., ethN=...)", argument)
	}
	_, err := c.Ask(ctx, "config "+argument)
	return err
}

// Remove takes a device away: "ubd3", "vec0". One that the guest uses is a *Refusal.
func (c *Client) Remove(ctx context.Context, device string) error {
	if !isRemoved(device) {
		return fault.Usage.Permanent("%q is no device that can be taken away (ubdN, vecN, ethN)", device)
	}
	_, err := c.Ask(ctx, "remove "+device)
	return err
}

// Unplug takes memory from the guest, in bytes, whole KiB. The kernel takes what is
// free, be it less, and says OK.
func (c *Client) Unplug(ctx context.Context, bytes int64) error {
	_, err := c.Ask(ctx, fmt.Sprintf("config mem=-%dK", bytes>>10))
	return err
}

// Plug gives back what Unplug took, at most that.
func (c *Client) Plug(ctx context.Context, bytes int64) error {
	_, err := c.Ask(ctx, fmt.Sprintf("config mem=+%dK", bytes>>10))
	return err
}

func (c *Client) do(ctx context.Context, word string, args ...string) (string, error) {
	command, err := Command(word, args)
	if err != nil {
		return "", err
	}
	return c.Ask(ctx, command)
}

func (c *Client) just(ctx context.Context, word string, args ...string) error {
	_, err := c.do(ctx, word, args...)
	return err
}
