package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

func manCommand() command {
	return command{
		name: "man", group: "kautopsy itself",
		short:   "print the manual page, made from these commands",
		long:    "Read it at once with:  kautopsy man | man -l -",
		example: "kautopsy man > /usr/local/share/man/man1/kautopsy.1",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			markdown := fs.Bool("markdown", false, "print Markdown: docs/commands.md is this")
			return func(env *environment, args []string) error {
				if len(args) > 0 {
					return &hintError{"man: one page has all commands; one alone: kautopsy help " + shellQuote(args[0])}
				}
				if *markdown {
					writeMarkdown(env.out)
				} else {
					writeMan(env.out)
				}
				return nil
			}
		},
	}
}

// exitText explains the exit codes in the manual.
var exitText = [][2]string{
	{"0", "answered"},
	{"1", "no answer; the reason is on stderr"},
	{"2", "wrong usage"},
	{"3", "the input is not a dump that kautopsy reads; stderr names it and the way out"},
	{"4", "answered in part: something of the dump was lost or corrupt"},
}

// writeMan writes the page in the man macros.
func writeMan(w io.Writer) {
	fmt.Fprint(w, ".TH KAUTOPSY 1\n.SH NAME\nkautopsy \\- say what happened to a Linux machine from its crash dump\n"+
		".SH SYNOPSIS\n.B kautopsy\n.I COMMAND\n[flags]\n.I DUMP\n[ARG...]\n.SH DESCRIPTION\n"+
		"Opens kernel crash dumps (kdump-compressed, ELF, LiME, AVML, s390, raw) without vmlinux and without other programs. "+
		"Flags can stand anywhere behind the command.\n.SH COMMANDS\n")
	for _, c := range visible() {
		fmt.Fprintf(w, ".SS %s\n.B %s\n.PP\n%s.\n", roff(c.name), roff(c.usage()), roff(upperFirst(c.short)))
		if c.long != "" {
			fmt.Fprintf(w, ".PP\n%s\n", roff(c.long))
		}
		fs, _ := c.flagSet()
		fs.VisitAll(func(f *pflag.Flag) {
			name, usage := pflag.UnquoteUsage(f)
			fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(flagText(f, name)), roff(usage))
		})
		fmt.Fprintf(w, ".PP\nExample:\n.PP\n.nf\n%s\n.fi\n", roff(c.example))
	}
	fmt.Fprint(w, ".SH EXIT STATUS\n")
	for _, e := range exitText {
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", e[0], roff(e[1]))
	}
}

// roff protects what the macros would read as their own.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...").Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// flagText is "-T, --ctime" or "--part FILE".
func flagText(f *pflag.Flag, arg string) string {
	s := flagName(f)
	if f.Shorthand != "" {
		s = "-" + f.Shorthand + ", " + s
	}
	if arg != "" {
		s += " " + arg
	}
	return s
}

// writeMarkdown writes the same as a page of docs/.
func writeMarkdown(w io.Writer) {
	fmt.Fprint(w, "# Commands\n\nMade by `kautopsy man --markdown`; a test fails when this page is stale.\n\n"+
		"    kautopsy COMMAND [flags] DUMP [ARG…]\n\nFlags can stand anywhere behind the command.\n")
	for _, g := range groups {
		list := inGroup(g)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n## %s\n", g)
		for _, c := range list {
			markdownCommand(w, &c)
		}
	}
	fmt.Fprint(w, "\n## Exit status\n\n")
	for _, e := range exitText {
		fmt.Fprintf(w, "* **%s** %s\n", e[0], e[1])
	}
}

func markdownCommand(w io.Writer, c *command) {
	fmt.Fprintf(w, "\n### %s\n\n    %s\n\n%s.\n", c.name, c.usage(), upperFirst(c.short))
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", c.long)
	}
	fs, _ := c.flagSet()
	fmt.Fprintf(w, "\n```\n%s```\n\nExample: `%s`\n", flagUsages(fs), c.example)
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
