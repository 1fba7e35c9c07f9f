package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

func helpCommand() command {
	return command{
		name: "help", group: "kautopsy itself", args: "[COMMAND]",
		short:   "list the commands, or explain one",
		example: "kautopsy help log",
		setup: func(*pflag.FlagSet) func(*environment, []string) error {
			return func(env *environment, args []string) error {
				switch len(args) {
				case 0:
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

// printOverview lists the commands by group.
func printOverview(w io.Writer) {
	fmt.Fprint(w, "kautopsy says what happened to a Linux machine from its crash dump alone.\n\n"+
		"usage: kautopsy COMMAND [flags] DUMP [ARG…]\n")
	for _, g := range groups {
		fmt.Fprintf(w, "\n%s\n", g)
		for _, c := range commands() {
			if c.group == g && !c.hidden {
				fmt.Fprintf(w, "  %-11s %s\n", c.name, c.short)
			}
		}
	}
	fmt.Fprint(w, "\nStart with:  kautopsy triage /var/crash/…/vmcore\n"+
		"Each command explains itself:  kautopsy COMMAND -h\n"+
		"Exit: 0 answered, 1 no answer, 2 wrong usage, 3 not a dump, 4 answered in part\n")
}

// printHelp explains one command.
func printHelp(env *environment, c *command) error {
	fs, _ := c.flagSet()
	w := env.out
	fmt.Fprintf(w, "kautopsy %s: %s\n\nusage: %s\n", c.name, c.short, c.usage())
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.long))
	}
	fmt.Fprintf(w, "\nflags:\n%s", fs.FlagUsagesWrapped(79))
	fmt.Fprintf(w, "\nexample:\n  %s\n", c.example)
	return nil
}
