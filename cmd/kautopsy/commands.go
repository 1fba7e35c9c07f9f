package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// command is one row of the table from which dispatch, help, completion and the manual
// page come.
type command struct {
	name    string
	group   string // heading under which help lists it
	args    string // what stands behind the flags: "DUMP [NAME|ADDRESS…]"
	short   string // one line
	long    string // what else there is to know; may be empty
	example string // one command line that works
	hidden  bool

	// setup declares the command's flags and gives what runs when they are parsed. It
	// is called anew for each run, so no flag outlives its command line.
	setup func(fs *pflag.FlagSet) func(env *environment, args []string) error
}

// Groups in the order in which help lists them.
// The first is what one begins with.
var groups = []string{
	"What happened", "The dump", "Tasks", "Memory and types", "The system", "Code", "crash itself", "kautopsy itself",
}

// commands is the table.
func commands() []command {
	return []command{
		triageCommand(),
		oopsCommand(),
		logCommand(),
		btCommand(),
		infoCommand(),
		verifyCommand(),
		convertCommand(),
		psCommand(),
		foreachCommand(),
		filesCommand(),
		taskCommand(),
		runqCommand(),
		sigCommand(),
		waitqCommand(),
		workqueueCommand(),
		rdCommand(),
		vtopCommand(),
		kmemCommand(),
		vmCommand(),
		swapCommand(),
		sysCommand(),
		modCommand(),
		mountCommand(),
		timerCommand(),
		irqCommand(),
		devCommand(),
		netCommand(),
		ipcsCommand(),
		symCommand(),
		disCommand(),
		lineCommand(),
		debuginfoCommand(),
		structCommand(),
		unionCommand(),
		pCommand(),
		whatisCommand(),
		listCommand(),
		treeCommand(),
		searchCommand(),
		crashCommand(),
		compareCommand(),
		stacksCommand(),
		completionCommand(),
		manCommand(),
		versionCommand(),
		helpCommand(),
	}
}

// find looks a command up by name.
func find(name string) *command {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return &all[i]
}

func (c *command) usage() string {
	return strings.TrimRight(fmt.Sprintf("kautopsy %s [flags] %s", c.name, c.args), " ")
}

// flagSet makes the command's flags, -h among them.
func (c *command) flagSet() (fs *pflag.FlagSet, run func(*environment, []string) error) {
	fs = pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {}
	run = c.setup(fs)
	if fs.Lookup("help") == nil {
		fs.BoolP("help", "h", false, "show this help")
	}
	return fs, run
}

// dispatch finds the command of a command line and runs it.
func dispatch(env *environment, args []string) error {
	if len(args) == 0 {
		return &usageError{msg: "which command?"}
	}
	switch args[0] {
	case "-h", "--help":
		args = []string{"help"}
	case "-V", "--version":
		args = []string{"version"}
	}
	c := find(args[0])
	if c == nil {
		return unknownCommand(args[0])
	}
	fs, run := c.flagSet()
	if err := fs.Parse(expandWidths(args[1:])); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return printHelp(env, c)
		}
		return flagFault(c, fs, err)
	}
	if help, _ := fs.GetBool("help"); help {
		return printHelp(env, c)
	}
	err := run(env, fs.Args())
	var usage *usageError
	if errors.As(err, &usage) && usage.name == "" && c.name != "help" {
		return &usageError{msg: c.name + ": " + usage.msg, name: c.name}
	}
	return err
}

// unknownCommand says what was probably meant: the dump without a command, or a name with
// a slip of the finger.
func unknownCommand(word string) error {
	if strings.ContainsAny(word, "/.") || strings.HasPrefix(word, "vmcore") || strings.HasPrefix(word, "dump") {
		return usagef("%q is no command; did you mean: kautopsy triage %s", word, shellQuote(word))
	}
	if hint, ok := crashWords[word]; ok {
		return &hintError{fmt.Sprintf("no command %s: %s", word, hint)}
	}
	best, near := "", 1
	if len(word) > 4 {
		near = 2
	}
	for _, c := range commands() {
		if d := distance(word, c.name); d <= near && d < len(word) {
			best, near = c.name, d-1
		}
	}
	if best != "" {
		return usagef("no command %q; did you mean %q?", word, best)
	}
	return usagef("no command %q", word)
}

// distance is how many letters have to be put in, taken out or changed to make b of a, two
// neighbours that changed places counting once.
func distance(a, b string) int {
	var before []int // the row before last
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
