package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/crashshell"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/vmcore"
)

// engineFlags are those of every command that starts the crash program.
type engineFlags struct {
	program string
	timeout time.Duration
	start   time.Duration
	convert bool
}

func addEngineFlags(fs *pflag.FlagSet) *engineFlags {
	f := &engineFlags{}
	fs.StringVar(&f.program, "crash", "", "the crash `PROGRAM`; without it $KAUTOPSY_CRASH, or crash in $PATH")
	fs.DurationVar(&f.timeout, "cmd-timeout", time.Minute, "deadline of each command")
	fs.DurationVar(&f.start, "start-timeout", 3*time.Minute, "deadline of crash's start; large dumps take minutes")
	fs.BoolVar(&f.convert, "convert", false, "give crash the dump in the form that each crash reads: for flattened ones, kinds and codecs that it does not know. Takes room in $TMPDIR")
	return f
}

// engine is what crash is started with, for a dump that is open. release calls back what it
// took.
type engine struct {
	crashshell.Config
	release func()
	plainer bool // the dump is in a form that not each crash reads, and goes to it as it is
}

// prepare finds what crash needs for a dump that openForCrash opened.
func (f *engineFlags) prepare(env *environment, d *vmcore.Dump, files *debugFiles) (*engine, error) {
	e := &engine{release: func() {}}
	e.Crash, e.Timeout, e.StartTime, e.Dump = f.program, f.timeout, f.start, d.Files()
	e.Release, e.Machine = d.Header.Utsname.Release, d.Header.Utsname.Machine
	if files.k != nil {
		u, _ := files.k.Utsname() // what is known stands in it, beside the error
		e.Release, e.Machine = u.Release, files.k.Machine()
	}
	var err error
	if e.VMLinux, err = files.vmlinux(env.ctx); err != nil {
		return nil, err
	}
	e.plainer = !f.convert && !plainForm(d.Header)
	if f.convert && !plainForm(d.Header) {
		file, err := convertForCrash(env, d)
		if err != nil {
			return nil, err
		}
		e.Dump, e.release = []string{fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd())}, func() { file.Close() }
	}
	return e, nil
}

// holdOn keeps this process alive when who reads its output goes away (| head) or its terminal is
// closed, until release: what a session of crash and an unpacked vmlinux take on disk has to be
// given back. release then lets the pipe have its way.
func holdOn(env *environment) (release func(error)) {
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	stop := func() {}
	if !signal.Ignored(syscall.SIGHUP) {
		env.ctx, stop = signal.NotifyContext(env.ctx, syscall.SIGHUP)
	}
	return func(err error) {
		stop()
		signal.Stop(pipe)
		if errors.Is(err, syscall.EPIPE) {
			_, _ = os.Stdout.WriteString("\n")
		}
	}
}

// startCrash starts crash. Where it ends without a word, what kautopsy knows of the dump may say
// why.
func startCrash(env *environment, e *engine, d *vmcore.Dump) (*crashshell.Session, error) {
	s, err := crashshell.Start(env.ctx, e.Config)
	var failed *crashshell.StartError
	if !errors.As(err, &failed) {
		return s, err
	}
	if cut := d.Complete(); len(d.Header.Problems) == 0 && cut != nil {
		env.warn("%s: %v", d.Name(), cut)
	}
	switch {
	case failed.Late:
		err = fmt.Errorf("%w (--start-timeout gives it longer)", err)
	case e.plainer && failed.Form:
		err = fmt.Errorf("%w (--convert gives it a plainer one)", err)
	}
	return s, err
}

// openForCrash opens a dump, and the kernel in it if kautopsy finds it: what crash gets wrong
// follows from that, but crash is not kept from trying where kautopsy fails.
func openForCrash(env *environment, dump *dumpFlags, args []string) (*vmcore.Dump, *debugFiles, error) {
	d, rest, err := dump.open(env, args)
	if err != nil {
		return nil, nil, err
	}
	if err = noMore(rest); err == nil {
		var files *debugFiles
		if files, err = dump.debug.files(env, args[0]); err == nil {
			if files.k, err = kernel.Open(d, &kernel.Options{Context: env.ctx}); err != nil {
				files.k = nil
			}
			return d, files, nil
		}
	}
	d.Close()
	return nil, nil, err
}

// plainForm tells whether each crash since 2009 reads a file as it is.
func plainForm(h vmcore.Header) bool {
	return h.Format == "elf" && !h.Flattened || h.Format == "kdump" && h.Codec == "zlib" && !h.Flattened && h.Parts == 1
}

// convertForCrash writes the dump into a file without a name, which goes with this process
// however that ends; crash opens it by the descriptor.
func convertForCrash(env *environment, d *vmcore.Dump) (file *os.File, err error) {
	if file, err = os.CreateTemp("", "kautopsy-dump-"); err != nil {
		return nil, fmt.Errorf("--convert: %w", err)
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	if err := os.Remove(file.Name()); err != nil {
		return nil, fmt.Errorf("--convert: %w", err)
	}
	form := convertFlags{form: "zlib", split: 1}
	v, err := form.conversion(d)
	if err != nil {
		return nil, err
	}
	if _, err := askKernel(env, d, &v, 0); err != nil {
		return nil, err
	}
	bar := newBar(env)
	done, err := d.Convert(env.ctx, v, []io.WriterAt{file}, bar.show)
	bar.end()
	if err != nil {
		return nil, fmt.Errorf("--convert: %w", err)
	}
	if done.Lost > 0 {
		env.warn("%d pages are lost in %s, and in what crash gets of it", done.Lost, d.Name())
	}
	return file, nil
}
