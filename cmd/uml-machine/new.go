package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"uml/estate"
	"uml/fault"
	"uml/settings"
)

func newFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "template", Usage: "of this `TEMPLATE`: a name, NAME@STAMP, or a file with a slash in its name"},
		&cli.BoolFlag{Name: "cow", DisableDefaultText: true, Usage: "a copy-on-write file of the template, in place of a copy"},
		&cli.StringFlag{Name: "disc", Usage: "the root disc has this `SIZE`, and its filesystem too"},
		&cli.StringFlag{Name: "kernel", Usage: "it boots this `KERNEL`: a name of uml-kernel, or a file with a slash in its name"},
	}, copyFlags()...)
}

func copyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "account", Usage: "it runs as this `ACCOUNT`, which is made; NAME without it"},
		&cli.StringFlag{Name: "mem", Usage: "guest RAM, a `SIZE`"},
		&cli.StringFlag{Name: "swap", Usage: "swap of this `SIZE`"},
		&cli.StringSliceFlag{Name: "ip4", Usage: "an `ADDRESS`, or a block such as 192.0.2.32/29; more than once"},
		&cli.StringSliceFlag{Name: "ip6", Usage: "a `PREFIX`, such as 2001:db8:0:1::/64; more than once"},
		&cli.StringFlag{Name: "net", Usage: "`KIND` of network: routed, none, or 'bridged BRIDGE'"},
		&cli.StringFlag{Name: "gateway", Usage: "a bridged guest has no DHCP, but this `ROUTER`, such as 192.0.2.1/24"},
		&cli.StringSliceFlag{Name: "dns", Usage: "the guest asks this `SERVER`, not the host's; more than once"},
		&cli.StringSliceFlag{Name: "set", Usage: "a further `SETTING=VALUE` of uml-machine(5); more than once"},
		&cli.StringSliceFlag{Name: "key", TakesFile: true, Usage: "root logs in by the public keys in `FILE`; more than once"},
		&cli.IntFlag{Name: "password-fd", Value: -1, DefaultText: "random without a key, else none", Usage: "root's password is read from descriptor `N`"},
		&cli.BoolFlag{Name: "activate", DisableDefaultText: true, Usage: "link it into the service directory at last"},
		dryRun, asJSON,
	}
}

func create(c *cli.Context) error {
	return named(1, func(c *cli.Context, n []string) error {
		s, err := spec(c, n[0])
		if err != nil {
			return err
		}
		r, err := estate.New(c.Context, options(c), s)
		return report(c, r, err)
	})(c)
}

func duplicate(c *cli.Context) error {
	return named(2, func(c *cli.Context, n []string) error {
		s, err := spec(c, n[1])
		if err != nil {
			return err
		}
		r, err := estate.Copy(c.Context, options(c), n[0], s)
		return report(c, r, err)
	})(c)
}

func report(c *cli.Context, r *estate.Report, err error) error {
	switch {
	case err != nil || r == nil:
		return err
	case c.Bool("json"):
		return r.JSON(os.Stdout)
	}
	return r.Print(os.Stdout)
}

// spec is what the flags say.
func spec(c *cli.Context, name string) (s estate.Spec, err error) {
	s = estate.Spec{
		Name: name, Account: c.String("account"), Template: c.String("template"), Kernel: c.String("kernel"), COW: c.Bool("cow"),
		Gateway: c.String("gateway"), DNS: c.StringSlice("dns"), Activate: c.Bool("activate"), Settings: map[string]string{},
	}
	if text := c.String("disc"); text != "" {
		if s.Disc, err = settings.ParseSize(text); err != nil {
			return s, fault.Usage.Permanent("--disc: %w", err)
		}
	}
	for _, n := range []string{"mem", "swap", "net"} {
		if c.IsSet(n) {
			s.Settings[n] = c.String(n)
		}
	}
	for _, n := range []string{"ip4", "ip6"} {
		if c.IsSet(n) {
			s.Settings[n] = strings.Join(c.StringSlice(n), "\n")
		}
	}
	for _, set := range c.StringSlice("set") {
		n, v, ok := strings.Cut(set, "=")
		if !ok || n == "user" || n == "ubd0" || n == "kernel" || s.Settings[n] != "" {
			return s, fault.Usage.Permanent("--set %s: is no SETTING=VALUE, or one that another option is for", set)
		}
		s.Settings[n] = v
	}
	for _, file := range c.StringSlice("key") {
		text, err := read(file)
		if err != nil {
			return s, err
		}
		keys, err := estate.ParseKeys(text)
		if err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
		s.Keys = append(s.Keys, keys...)
	}
	if c.IsSet("password-fd") {
		s.Password, err = password(c.Int("password-fd"))
	}
	return s, err
}

// mostKeys is more than any file of public keys has, in bytes.
const mostKeys = 1 << 20

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fault.Permanent("%w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostKeys))
	if err != nil {
		return nil, fault.Permanent("%w", err)
	}
	return text, nil
}

// password is the first line of what a descriptor has: so it is in no argument list, no
// environment and no history.
func password(fd int) (*string, error) {
	if fd < 0 {
		return nil, fault.Usage.Permanent("--password-fd %d: is no descriptor", fd)
	}
	f := os.NewFile(uintptr(fd), "password")
	line, err := bufio.NewReader(io.LimitReader(f, 1000)).ReadString('\n')
	if err != nil && err != io.EOF {
		return nil, fault.Usage.Permanent("--password-fd %d: %w", fd, err)
	}
	line = strings.TrimSuffix(line, "\n")
	return &line, estate.CheckPassword(line)
}

// ask is for who removes something on a terminal.
func ask(what string) (bool, error) {
	fmt.Fprintf(os.Stderr, "%s? [y/N] ", what)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, err
	}
	a := strings.ToLower(strings.TrimSpace(line))
	return a == "y" || a == "yes", nil
}
