package main

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/pflag"
)

// crashWords are commands of crash that fingers type and kautopsy has under another name, or
// not at all: what to do instead.
var crashWords = map[string]string{
	"?":        "kautopsy help lists the commands",
	"alias":    "the shell has aliases",
	"ascii":    "man ascii has the table",
	"bpf":      askCrash("bpf"),
	"btop":     askCrash("btop ADDRESS"),
	"dmesg":    "it is: kautopsy log DUMP",
	"eval":     "the shell reckons: printf '%x\\n' $((0x1000 + 8))",
	"exit":     "each kautopsy is one command, there is no session to leave",
	"extend":   askCrash("extend FILE"),
	"fuser":    "who has a file open: kautopsy files -R NAME DUMP; or a file system: kautopsy mount -f DUMP DIR",
	"gdb":      "p, struct, whatis, dis and line answer what gdb would; gdb itself: kautopsy crash -c 'gdb COMMAND' DUMP",
	"h":        "each kautopsy is one command, and the shell has the history",
	"last":     "it is: kautopsy ps -l DUMP",
	"mach":     "kautopsy sys DUMP and kautopsy info DUMP tell of the machine; the rest: kautopsy crash -c mach DUMP",
	"pd":       "it is: kautopsy p -d DUMP EXPRESSION",
	"pte":      askCrash("pte VALUE"),
	"ptob":     askCrash("ptob FRAME"),
	"ptov":     askCrash("ptov ADDRESS"),
	"px":       "it is: kautopsy p -x DUMP EXPRESSION",
	"q":        "each kautopsy is one command, there is no session to leave",
	"quit":     "each kautopsy is one command, there is no session to leave",
	"repeat":   "a dump does not change, and the shell has loops",
	"sbitmapq": askCrash("sbitmapq ADDRESS"),
	"set":      "no task is current here: name it behind the dump, kautopsy bt DUMP 1234; without one it is that which crashed",
	"test":     "each kautopsy is one command, there is no session to test",
	"wr":       "kautopsy writes to no dump",
}

// flagsOfCrash are the flags of crash's commands (its help, 9.0).
var flagsOfCrash = map[string]string{
	"bt": "acgrtTleEfFoOvpRISnsxdA", "dev": "ipdDvV", "dis": "rflsuxdbB", "files": "dlRpcMnx", "foreach": "", "ipcs": "smqMn",
	"irq": "udbasc", "kmem": "fFcCpivVnzohgrsSILlm", "list": "oehHsSrBlxd", "log": "tdmacpTsRv", "mod": "sdSDrogt", "mount": "fni",
	"net": "asSnNxdR", "p": "uxd", "ps": "kuGyspctlmagrSnHACe", "rd": "pudDsSafrxNRoem", "runq": "tTmgcd", "search": "pkKVvuselmxcwhtTM",
	"sig": "lsg", "struct": "olrfuxdpc", "sym": "lMmpnq", "sys": "ctipa", "task": "Rxd", "timer": "Cr", "tree": "troNpsSlxd",
	"union": "olrfuxdpc", "vm": "pPMRmvfxd", "vtop": "ukc", "whatis": "omr",
}

// insteadOf are flags of crash's that are not needed here, or have another name.
var insteadOf = map[string]string{
	"bt -g":     "name the threads: kautopsy ps -g DUMP PID has their PIDs, and bt takes several",
	"mod -s":    "what is missing is found by itself: kautopsy debuginfo DUMP MODULE; or name the .ko with -k",
	"mod -S":    "what is missing is found by itself: kautopsy debuginfo -a DUMP; or name each .ko with -k",
	"mod -d":    "nothing was loaded that could be unloaded",
	"runq -g":   "tasks of a group stand behind their group without it",
	"search -k": "the kernel's memory is what is searched",
	"vtop -k":   "addresses are the kernel's, but for those that only user space has",
	"rd -k":     "addresses are the kernel's, but for those that only user space has",
	"sys -p":    "kautopsy triage DUMP has the panic",
}

func askCrash(command string) string {
	return fmt.Sprintf("crash has it: kautopsy crash -c '%s' DUMP", command)
}

// hintError is a mistake in how kautopsy was called of which one line says all.
type hintError struct{ msg string }

func (e *hintError) Error() string { return e.msg }

// wrongValue says what a flag takes, in the place of what the parser of its value says.
func wrongValue(bad *pflag.InvalidValueError) string {
	f := bad.GetFlag()
	name := flagName(f)
	if f.Shorthand != "" {
		name = "-" + f.Shorthand
	}
	switch f.Value.Type() {
	case "int":
		return fmt.Sprintf("%s takes a number, not %q", name, bad.GetValue())
	case "duration":
		return fmt.Sprintf("%s takes a time like 90s or 5m, not %q", name, bad.GetValue())
	}
	return fmt.Sprintf("%s: %v", name, bad.Unwrap())
}

// flagFault is what was meant by a flag that a command does not have, or by its value.
func flagFault(c *command, fs *pflag.FlagSet, err error) error {
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		return &usageError{msg: c.name + ": " + wrongValue(bad), name: c.name}
	}
	var no *pflag.NotExistError
	if !errors.As(err, &no) {
		return &usageError{msg: fmt.Sprintf("%s: %v", c.name, err), name: c.name}
	}
	name := no.GetSpecifiedName()
	if no.GetSpecifiedShortnames() == "" {
		return &usageError{msg: fmt.Sprintf("%s: %v", c.name, meant(err, dashed(nearNames(name, flagNames(fs))))), name: c.name}
	}
	flag := c.name + " -" + name
	hint, ok := insteadOf[flag]
	if !ok && strings.Contains(flagsOfCrash[c.name], name) {
		hint, ok = askCrash(flag), true
	}
	if ok {
		return &hintError{fmt.Sprintf("%s: no flag -%s here: %s", c.name, name, hint)}
	}
	return &usageError{msg: fmt.Sprintf("%s: no flag -%s (kautopsy %s -h has them)", c.name, name, c.name), name: c.name}
}

func flagNames(fs *pflag.FlagSet) iter.Seq[string] {
	return func(yield func(string) bool) {
		var names []string
		fs.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		for _, name := range names {
			if !yield(name) {
				return
			}
		}
	}
}

func dashed(names []string) (flags []string) {
	for _, name := range names {
		flags = append(flags, "--"+name)
	}
	return flags
}
