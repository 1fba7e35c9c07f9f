package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/crashshell"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
	"github.com/kautopsy/kautopsy/vmcore"
)

// engineFlags are those of every command that starts the crash program.
type engineFlags struct {
	vmlinux string
	program string
	timeout time.Duration
	convert bool
}

func addEngineFlags(fs *pflag.FlagSet) *engineFlags {
	f := &engineFlags{}
	fs.StringVarP(&f.vmlinux, "vmlinux", "k", "", "the kernel's vmlinux with debug information, a `FILE`")
	fs.StringVar(&f.program, "crash", "", "the crash `PROGRAM`; without it $KAUTOPSY_CRASH, or crash in $PATH")
	fs.DurationVar(&f.timeout, "cmd-timeout", time.Minute, "deadline of each command")
	fs.BoolVar(&f.convert, "convert", false, "give crash the dump in the form that each crash reads: for flattened\nones, kinds and codecs that it does not know. Takes room in $TMPDIR")
	return f
}

// engine is what crash is started with, for a dump that is open. release calls back what it
// took.
type engine struct {
	crashshell.Config
	release func()
}

// prepare finds what crash needs. k is nil where kautopsy found no kernel in the dump.
func (f *engineFlags) prepare(env *environment, d *vmcore.Dump, k *kernel.Kernel) (*engine, error) {
	e := &engine{release: func() {}}
	e.Crash, e.Timeout, e.Dump = f.program, f.timeout, d.Files()
	e.Release = d.Header.Utsname.Release
	if k != nil {
		u, _ := k.Utsname() // what is known stands in it, beside the error
		e.Release = u.Release
	}
	var err error
	if e.VMLinux, err = findVMLinux(f.vmlinux, d.Name(), e.Release); err != nil {
		return nil, err
	}
	if err := sameBuild(e.VMLinux, d.Name(), k); err != nil {
		return nil, err
	}
	if f.convert && !plainForm(d.Header) {
		file, err := convertForCrash(env, d)
		if err != nil {
			return nil, err
		}
		e.Dump, e.release = []string{fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd())}, func() { file.Close() }
	}
	return e, nil
}

// openForCrash opens a dump, and the kernel in it if kautopsy finds it: what crash gets wrong
// follows from that, but crash is not kept from trying where kautopsy fails.
func openForCrash(env *environment, dump *dumpFlags, args []string) (*vmcore.Dump, *kernel.Kernel, error) {
	d, rest, err := dump.open(env, args)
	if err != nil {
		return nil, nil, err
	}
	if err := noMore(rest); err != nil {
		d.Close()
		return nil, nil, err
	}
	k, err := kernel.Open(d, &kernel.Options{Context: env.ctx})
	if err != nil {
		return d, nil, nil
	}
	return d, k, nil
}

// findVMLinux is the file that -k names, or the first one where the packages of Debian,
// Ubuntu, Fedora, RHEL and SUSE put theirs.
func findVMLinux(named, dump, release string) (string, error) {
	if named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", usagef("-k: %v", err)
		}
		return named, nil
	}
	beside := filepath.Dir(dump)
	places := []string{filepath.Join(beside, "vmlinux")}
	if release != "" && filepath.Base(release) == release {
		places = append(
			places,
			filepath.Join(beside, "vmlinux-"+release),
			"/usr/lib/debug/lib/modules/"+release+"/vmlinux",
			"/usr/lib/debug/usr/lib/modules/"+release+"/vmlinux",
			"/usr/lib/debug/boot/vmlinux-"+release,
			"/usr/lib/debug/boot/vmlinux-"+release+".debug",
		)
	}
	for _, p := range places {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	if release == "" {
		return "", errors.New("crash needs the kernel's vmlinux, and which kernel it was is not known: name one with -k")
	}
	return "", fmt.Errorf("no vmlinux of %[1]s: install linux-image-%[1]s-dbg (Debian), linux-image-%[1]s-dbgsym (Ubuntu) "+
		"or kernel-debuginfo-%[1]s (Fedora, RHEL), or name one with -k", release)
}

// sameBuild refuses a vmlinux of another build than the dump's kernel: crash takes one with the
// same version text, and answers from the wrong addresses. Where either build ID is not known
// crash has to judge.
func sameBuild(vmlinux, dump string, k *kernel.Kernel) error {
	if k == nil {
		return nil
	}
	want := k.BuildID()
	f, err := os.Open(vmlinux)
	if err != nil {
		return fmt.Errorf("vmlinux: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("vmlinux: %w", err)
	}
	file, err := dwarf.Open(f, st.Size())
	if err != nil {
		return nil
	}
	got, err := file.BuildID()
	if err != nil || got == nil || want == nil || bytes.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("%s is of build %x, the kernel in %s of build %x: they do not fit", vmlinux, got, dump, want)
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
