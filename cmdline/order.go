package cmdline

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst puts flags where package flag wants them, the program's before the
// command and the command's before its other arguments: people type
// "stop web --timeout 60s", and "--timeout 60s stop web": a flag that both have is
// the command's wherever it stands, since the command looks at its own alone. What
// follows "--" is left alone.
func flagsFirst(app *cli.App, args []string) []string {
	var own []cli.Flag       // the command's
	var below []*cli.Command // of the group that the command is, until one is named
	var words []string
	var before [][]string // flags that stand before the command
	program, command := args[:1:1], []string(nil)
	for rest := args[1:]; len(rest) > 0; {
		arg := rest[0]
		if arg == "--" {
			words = append(words, rest[1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			c := app.Command(arg)
			if of := findCommand(arg, below); of != nil { // one of a group, as in "cow merge"
				command, own, below = append(command, arg), of.Flags, nil
			} else if command == nil && c != nil {
				command, own, below = []string{arg}, c.Flags, c.Subcommands
			} else if len(below) > 0 {
				return args // no command of the group
			} else if command == nil && len(app.Commands) > 0 {
				return args // no command of ours: said by who runs it
			} else {
				words = append(words, arg)
			}
			rest = rest[1:]
			continue
		}
		n := min(length(arg, slices.Concat(own, app.Flags)), len(rest))
		if command == nil {
			before = append(before, rest[:n])
		} else if find(arg, own) == nil && find(arg, app.Flags) != nil {
			program = append(program, rest[:n]...)
		} else {
			command = append(command, rest[:n]...)
		}
		rest = rest[n:]
	}
	named := 1
	if len(command) > 1 && app.Command(command[0]) != nil && findCommand(command[1], app.Command(command[0]).Subcommands) != nil {
		named = 2
	}
	for _, flag := range slices.Backward(before) {
		if find(flag[0], own) != nil {
			command = slices.Insert(command, named, flag...)
		} else {
			program = slices.Insert(program, 1, flag...)
		}
	}
	if len(words) > 0 {
		words = append([]string{"--"}, words...)
	}
	return slices.Concat(program, command, words)
}

func findCommand(name string, all []*cli.Command) *cli.Command {
	i := slices.IndexFunc(all, func(c *cli.Command) bool { return c.HasName(name) })
	if i < 0 {
		return nil
	}
	return all[i]
}

// length is how many arguments a flag takes, itself included.
func length(arg string, flags []cli.Flag) int {
	if alone(find(arg, flags)) || strings.Contains(arg, "=") || find(arg, flags) == nil {
		return 1
	}
	return 2
}

// alone says whether a flag takes no argument, or one only after "=".
func alone(f cli.Flag) bool {
	if g, is := f.(*cli.GenericFlag); is {
		b, is := g.Value.(interface{ IsBoolFlag() bool })
		return is && b.IsBoolFlag()
	}
	_, is := f.(*cli.BoolFlag)
	return is
}

func find(arg string, flags []cli.Flag) cli.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	i := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return nil
	}
	return flags[i]
}
