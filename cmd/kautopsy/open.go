package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// errInput: the input is not a dump that is read, or not what the command reads.
var errInput = errors.New("not readable as a dump")

// dumpFlags are the flags of every command that opens a dump.
type dumpFlags struct {
	parts   []string
	regions string
	info    string
	quiet   bool // the command itself tells the dump's problems
	mapped  bool // the command reads all pages and little else
	debug   debugFlags
}

// addDumpFlags declares them for a command that has little use for debug information.
func addDumpFlags(set *pflag.FlagSet) *dumpFlags { return declareDumpFlags(set, false) }

// addCodeFlags declares them for a command whose answers have source lines.
func addCodeFlags(set *pflag.FlagSet) *dumpFlags { return declareDumpFlags(set, true) }

func declareDumpFlags(set *pflag.FlagSet, lines bool) *dumpFlags {
	f := &dumpFlags{}
	f.debug.add(set, lines)
	set.StringArrayVar(&f.parts, "part", nil, "another `FILE` of a split set; without it those beside DUMP are found")
	set.StringVar(&f.regions, "regions", "", "map of RAM for a raw image: a `FILE` like /proc/iomem")
	set.StringVar(&f.info, "vmcoreinfo", "", "take the kernel's VMCOREINFO text from `FILE`")
	return f
}

// open opens the dump that the first argument names and gives the arguments behind it.
func (f *dumpFlags) open(env *environment, args []string) (*vmcore.Dump, []string, error) {
	if len(args) == 0 {
		return nil, nil, usagef("which dump?")
	}
	o := &vmcore.Options{Parts: f.parts, Map: f.mapped}
	if f.regions != "" {
		text, err := readInput(f.regions)
		if err != nil {
			return nil, nil, err
		}
		if o.Regions, err = vmcore.ParseIomem(text); err != nil {
			return nil, nil, inputError(f.regions, err)
		}
	}
	if f.info != "" {
		text, err := readInput(f.info)
		if err != nil {
			return nil, nil, err
		}
		o.VMCoreInfo = text
	}
	d, err := vmcore.Open(args[0], o)
	if errors.Is(err, fs.ErrNotExist) {
		if dump := laterFile(args[1:]); dump != "" {
			return nil, nil, usagef("the dump comes first: %s %s", shellQuote(dump), shellQuote(args[0]))
		}
	}
	if err != nil {
		return nil, nil, inputError(args[0], err)
	}
	for _, p := range d.Header.Problems {
		if env.met(p); !f.quiet {
			env.warn("%s: %v", args[0], p)
		}
	}
	return d, args[1:], nil
}

// laterFile is the first of the arguments that is a file: who uses crash names the dump first
// when he starts it, and here last.
func laterFile(args []string) string {
	for _, name := range args {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return name
		}
	}
	return ""
}

// inputFault is why a file cannot be read, with the way out where there is one; it is
// errInput, so that the exit code tells.
type inputFault struct {
	file string
	err  error
}

// Error reads like "vmcore: permission denied (dumps belong to root: sudo, or chown)".
func (f *inputFault) Error() string {
	var path *fs.PathError
	hint := ""
	switch {
	case !errors.As(f.err, &path):
		if phys.Damage(f.err) {
			hint = " (cut or damaged: copy the dump again)"
		}
		return fmt.Sprintf("%s cannot be read: %v%s", f.file, f.err, hint)
	case f.file == "-":
		return "a dump is read at any place, so not from standard input: copy it to a file first"
	case errors.Is(path, fs.ErrNotExist):
		hint = " (dumps are often /var/crash/…/vmcore)"
	case errors.Is(path, fs.ErrPermission):
		hint = " (dumps belong to root: use sudo, or chown a copy)"
	}
	return fmt.Sprintf("%s: %v%s", f.file, path.Err, hint)
}

// Unwrap gives the reason.
func (f *inputFault) Unwrap() []error { return []error{errInput, f.err} }

// inputError marks what made a file unreadable, so that the exit code tells.
func inputError(name string, err error) error {
	if errors.Is(err, vmcore.ErrNotDump) {
		return err
	}
	return &inputFault{name, err}
}

// readInput reads a small file that a flag names.
func readInput(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, inputError(name, err)
	}
	return b, nil
}

// openKernel opens the dump and finds the kernel in it. Below foreach both are open.
func (f *dumpFlags) openKernel(env *environment, args []string) (*kernel.Kernel, []string, func(), error) {
	if c := env.chosen; c != nil {
		return c.kernel, args[1:], func() {}, nil
	}
	d, rest, err := f.open(env, args)
	if err != nil {
		return nil, nil, nil, err
	}
	k, files, err := f.openDebug(env, d, args[0])
	if err != nil {
		d.Close()
		return nil, nil, nil, err
	}
	return k, rest, func() { files.close(); d.Close() }, nil
}

// openDebug finds the kernel in a dump, with what knows its debug information.
func (f *dumpFlags) openDebug(env *environment, d *vmcore.Dump, name string) (*kernel.Kernel, *debugFiles, error) {
	files, err := f.debug.files(env, name)
	if err != nil {
		return nil, nil, err
	}
	k, err := kernel.Open(d, &kernel.Options{
		Context: env.ctx, DebugInfo: files, CacheDir: namesDir(env), IgnoreBTF: env.ignoreBTF, Kallsyms: env.kallsyms,
	})
	if err != nil {
		return nil, nil, err
	}
	files.k = k
	if f.debug.checked && len(f.debug.names) > 0 {
		if err := files.check(env.ctx); err != nil {
			files.close()
			return nil, nil, err
		}
	}
	return k, files, nil
}

// openAlone is openKernel for commands that take nothing but the dump.
func (f *dumpFlags) openAlone(env *environment, args []string) (*kernel.Kernel, func(), error) {
	k, rest, done, err := f.openKernel(env, args)
	if err != nil {
		return nil, nil, err
	}
	if err := noMore(rest); err != nil {
		done()
		return nil, nil, err
	}
	return k, done, nil
}

// noMore refuses arguments that a command does not take.
func noMore(args []string) error {
	if len(args) > 0 {
		return usagef("one argument too many: %q", args[0])
	}
	return nil
}
