package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// completionFor finds the writer of a shell's completion, nil for a shell without one.
func completionFor(shell string) func(io.Writer) {
	switch shell {
	case "bash":
		return bashCompletion
	case "zsh":
		return zshCompletion
	case "fish":
		return fishCompletion
	}
	return nil
}

func completionCommand() command {
	return command{
		name: "completion", group: "kautopsy itself", args: "bash|zsh|fish",
		short:   "print a shell's completion of these commands",
		long:    "Load it where the shell looks for it, for bash for example:\n  kautopsy completion bash > /etc/bash_completion.d/kautopsy",
		example: "kautopsy completion bash",
		setup: func(*pflag.FlagSet) func(*environment, []string) error {
			return func(env *environment, args []string) error {
				if len(args) != 1 {
					return usagef("for which shell? bash, zsh or fish")
				}
				write := completionFor(args[0])
				if write == nil {
					return usagef("no completion for %q, only for bash, zsh and fish", args[0])
				}
				write(env.out)
				return nil
			}
		},
	}
}

// visible are the commands that help lists.
func visible() (out []command) {
	for _, c := range commands() {
		if !c.hidden {
			out = append(out, c)
		}
	}
	return out
}

// flagWords are a command's flags as they are typed.
func flagWords(c *command) (words []string) {
	fs, _ := c.flagSet()
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		words = append(words, flagName(f))
		if f.Shorthand != "" {
			words = append(words, "-"+f.Shorthand)
		}
	})
	return words
}

func bashCompletion(w io.Writer) {
	var names []string
	for _, c := range visible() {
		names = append(names, c.name)
	}
	fmt.Fprintf(w, "# bash completion for kautopsy\n_kautopsy() {\n"+
		"\tlocal word=${COMP_WORDS[COMP_CWORD]} flags=\n"+
		"\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W '%s' -- \"$word\")\n\t\treturn\n\tfi\n"+
		"\tcase ${COMP_WORDS[1]} in\n", strings.Join(names, " "))
	for _, c := range visible() {
		fmt.Fprintf(w, "\t%s) flags='%s' ;;\n", c.name, strings.Join(flagWords(&c), " "))
	}
	fmt.Fprint(w, "\tesac\n\tcase $word in\n\t-*) mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$word\") ;;\n"+
		"\t*) mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n\tesac\n}\n"+
		"complete -o filenames -F _kautopsy kautopsy\n")
}

func zshCompletion(w io.Writer) {
	fmt.Fprint(w, "#compdef kautopsy\n_kautopsy() {\n\tlocal -a commands=(\n")
	for _, c := range visible() {
		fmt.Fprintf(w, "\t\t'%s:%s'\n", c.name, quoteZsh(c.short))
	}
	fmt.Fprint(w, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, c := range visible() {
		fmt.Fprintf(w, "\t%s) _arguments", c.name)
		fs, _ := c.flagSet()
		fs.VisitAll(func(f *pflag.Flag) {
			value, usage := pflag.UnquoteUsage(f)
			if value != "" {
				value = ":" + strings.ToLower(value) + ":_files"
			}
			fmt.Fprintf(w, " '%s[%s]%s'", flagName(f), quoteZsh(usage), value)
		})
		fmt.Fprint(w, " '*:file:_files' ;;\n")
	}
	fmt.Fprint(w, "\tesac\n}\n_kautopsy \"$@\"\n")
}

// quoteZsh makes text safe inside a quoted completion of zsh.
func quoteZsh(s string) string {
	return strings.NewReplacer("'", "’", ":", "\\:", "[", "(", "]", ")").Replace(s)
}

func fishCompletion(w io.Writer) {
	fmt.Fprint(w, "# fish completion for kautopsy\n")
	for _, c := range visible() {
		fmt.Fprintf(w, "complete -c kautopsy -n __fish_use_subcommand -f -a %s -d '%s'\n", c.name, quoteFish(c.short))
		fs, _ := c.flagSet()
		fs.VisitAll(func(f *pflag.Flag) {
			fmt.Fprintf(w, "complete -c kautopsy -n '__fish_seen_subcommand_from %s' %s\n", c.name, fishFlag(f))
		})
	}
}

// fishFlag declares one flag: -l a long one, -o one with a single dash, -r one with a value.
func fishFlag(f *pflag.Flag) string {
	value, usage := pflag.UnquoteUsage(f)
	form := "-l"
	if !strings.HasPrefix(flagName(f), "--") {
		form = "-o"
	}
	s := form + " " + f.Name
	if f.Shorthand != "" {
		s += " -s " + f.Shorthand
	}
	if value != "" {
		s += " -r"
	}
	return s + " -d '" + quoteFish(usage) + "'"
}

func quoteFish(s string) string { return strings.ReplaceAll(s, "'", `\'`) }
