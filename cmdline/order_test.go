package cmdline

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestFlagsFirst(t *testing.T) {
	flags := []cli.Flag{&cli.StringFlag{Name: "machines"}, &cli.BoolFlag{Name: "json"}}
	plain := &cli.App{Flags: flags}
	commands := &cli.App{Flags: flags, Commands: []*cli.Command{
		{Name: "stop", Flags: []cli.Flag{&cli.BoolFlag{Name: "json"}, &cli.DurationFlag{Name: "timeout", Aliases: []string{"t"}}, &cli.BoolFlag{Name: "all"}}},
	}}
	groups := &cli.App{Flags: flags, Commands: []*cli.Command{{Name: "cow", Subcommands: []*cli.Command{
		{Name: "merge", Flags: []cli.Flag{&cli.StringFlag{Name: "into"}, &cli.BoolFlag{Name: "json"}}},
	}}}}
	for _, c := range []struct {
		app       *cli.App
		got, want string
	}{
		{plain, "p", "p"},
		{plain, "p web --json", "p --json -- web"},
		{plain, "p web --machines /m mail", "p --machines /m -- web mail"},
		{plain, "p web --machines=/m", "p --machines=/m -- web"},
		{plain, "p --json -- web --x", "p --json -- web --x"},
		{plain, "p web --wrong", "p --wrong -- web"},
		{plain, "p web --machines", "p --machines -- web"},
		{commands, "p stop web --timeout 60s", "p stop --timeout 60s -- web"},
		{commands, "p stop web -t 60s --all mail", "p stop -t 60s --all -- web mail"},
		{commands, "p stop web --machines /m", "p --machines /m stop -- web"},
		{commands, "p stop web --json", "p stop --json -- web"},
		{commands, "p --json --machines /m stop web --all", "p --machines /m stop --json --all -- web"},
		{commands, "p --json --help stop --json=false", "p --help stop --json --json=false"},
		{commands, "p --machines /m stop web", "p --machines /m stop -- web"},
		{commands, "p stop web -- --all", "p stop -- web --all"},
		{commands, "p stop stop", "p stop -- stop"},
		{commands, "p stop -", "p stop -- -"},
		{commands, "p nosuch --all", "p nosuch --all"},
		{groups, "p cow merge f --into new", "p cow merge --into new -- f"},
		{groups, "p --json cow merge f --machines /m", "p --machines /m cow merge --json -- f"},
		{groups, "p cow --help", "p cow --help"},
		{groups, "p cow cut f", "p cow cut f"},
	} {
		if got := flagsFirst(c.app, strings.Fields(c.got)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: got %q", c.got, got)
		}
	}
}
