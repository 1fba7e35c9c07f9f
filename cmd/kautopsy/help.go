package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

func helpCommand() command {
	return command{
		name: "help", group: "kautopsy itself", args: "[COMMAND]",
		short:   "list the commands, or explain one",
		example: "kautopsy help log",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			all := fs.BoolP("all", "a", false, "every command with what it is for")
			return func(env *environment, args []string) error {
				switch len(args) {
				case 0:
					if *all {
						printAll(env.out)
						return nil
					}
					printOverview(env.out)
					return nil
				case 1:
					c := find(args[0])
					if c == nil {
						return unknownCommand(args[0])
					}
					return printHelp(env, c)
				}
				return usagef("help explains one command at a time")
			}
		},
	}
}

// printOverview explains the commands that one begins with and names the others by group, so
// that all of it fits a screen.
func printOverview(w io.Writer) {
	fmt.Fprint(w, "kautopsy says what happened to a Linux machine from its crash dump alone.\n\n"+
		"usage: kautopsy COMMAND [flags] DUMP [ARG…]\n\n"+groups[0]+"\n")
	for _, c := range inGroup(groups[0]) {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.short)
	}
	fmt.Fprintln(w)
	for _, g := range groups[1:] {
		var names []string
		for _, c := range inGroup(g) {
			names = append(names, c.name)
		}
		if len(names) > 0 {
			fmt.Fprintf(w, "%-16s  %s\n", g, strings.Join(names, " "))
		}
	}
	fmt.Fprint(w, "\nEach explains itself: kautopsy COMMAND -h; all of them: kautopsy help --all\n"+
		"Start with: kautopsy triage /var/crash/…/vmcore\n"+
		"Exit: 0 answered, 1 no answer, 2 wrong usage, 3 not a dump, 4 answered in part\n")
}

// printAll lists every command with what it is for.
func printAll(w io.Writer) {
	for i, g := range groups {
		list := inGroup(g)
		if len(list) == 0 {
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, g)
		for _, c := range list {
			fmt.Fprintf(w, "  %-10s %s\n", c.name, c.short)
		}
	}
}

func inGroup(group string) []command {
	return slices.DeleteFunc(visible(), func(c command) bool { return c.group != group })
}

// printHelp explains one command.
func printHelp(env *environment, c *command) error {
	fs, _ := c.flagSet()
	w := env.out
	fmt.Fprintf(w, "kautopsy %s: %s\n\nusage: %s\n", c.name, c.short, c.usage())
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.long))
	}
	fmt.Fprintf(w, "\nflags:\n%s", flagUsages(fs))
	fmt.Fprintf(w, "\nexample:\n  %s\n", c.example)
	return nil
}

// flagUsages lists a command's flags. crash's -8, -16, -32 and -64 are spelled as they are
// typed; pflag knows them as long flags, see expandWidths.
func flagUsages(fs *pflag.FlagSet) string {
	return strings.NewReplacer("      --8", "  -8     ", "      --16", "  -16     ", "      --32", "  -32     ",
		"      --64", "  -64     ").Replace(fs.FlagUsagesWrapped(79))
}

// flagName is a flag's long name as it is typed.
func flagName(f *pflag.Flag) string {
	if f.Name[0] >= '0' && f.Name[0] <= '9' {
		return "-" + f.Name
	}
	return "--" + f.Name
}
