package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/vmcore"
)

// errInput: the input is not a dump that is read, or not what the command reads.
var errInput = errors.New("not readable as a dump")

// dumpFlags are the flags of every command that opens a dump.
type dumpFlags struct {
	parts   []string
	regions string
	info    string
}

func addDumpFlags(fs *pflag.FlagSet) *dumpFlags {
	f := &dumpFlags{}
	fs.StringArrayVar(&f.parts, "part", nil, "another `FILE` of a split set; without it those beside DUMP are found")
	fs.StringVar(&f.regions, "regions", "", "map of RAM for a raw image: a `FILE` like /proc/iomem")
	fs.StringVar(&f.info, "vmcoreinfo", "", "take the kernel's VMCOREINFO text from `FILE`")
	return f
}

// open opens the dump that the first argument names and gives the arguments behind it.
func (f *dumpFlags) open(env *environment, args []string) (*vmcore.Dump, []string, error) {
	if len(args) == 0 {
		return nil, nil, usagef("which dump?")
	}
	o := &vmcore.Options{Parts: f.parts}
	if f.regions != "" {
		text, err := os.ReadFile(f.regions)
		if err != nil {
			return nil, nil, err
		}
		if o.Regions, err = vmcore.ParseIomem(text); err != nil {
			return nil, nil, fmt.Errorf("--regions %s: %w", f.regions, err)
		}
	}
	if f.info != "" {
		text, err := os.ReadFile(f.info)
		if err != nil {
			return nil, nil, err
		}
		o.VMCoreInfo = text
	}
	d, err := vmcore.Open(args[0], o)
	if err != nil {
		return nil, nil, inputError(args[0], err)
	}
	for _, p := range d.Header.Problems {
		env.warn("%s: %v", args[0], p)
		env.met(p)
	}
	return d, args[1:], nil
}

// inputError marks what made a file unreadable as a dump, so that the exit code tells.
func inputError(name string, err error) error {
	var named *vmcore.NotADump
	var path *os.PathError
	if errors.As(err, &named) || errors.As(err, &path) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", name, errInput, err)
}

// openKernel opens the dump and finds the kernel in it.
func (f *dumpFlags) openKernel(env *environment, args []string) (*kernel.Kernel, []string, func(), error) {
	d, rest, err := f.open(env, args)
	if err != nil {
		return nil, nil, nil, err
	}
	k, err := kernel.Open(d, &kernel.Options{Context: env.ctx})
	if err != nil {
		d.Close()
		return nil, nil, nil, err
	}
	return k, rest, func() { d.Close() }, nil
}

// noMore refuses arguments that a command does not take.
func noMore(args []string) error {
	if len(args) > 0 {
		return usagef("one argument too many: %q", args[0])
	}
	return nil
}
