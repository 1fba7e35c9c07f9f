package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/oops/decode"
	"github.com/kautopsy/kautopsy/symbols/debuginfo"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// textFiles are the debug information of the kernel that wrote a text, by what the text says
// of it: its release and banner, and newer kernels their build IDs and those of modules.
type textFiles struct {
	env   *environment
	debug *debugFiles
	of    debuginfo.Want
}

// kernelOf is what a text says of the kernel that the first of its reports is of, or that
// wrote its first line.
func kernelOf(log *oops.Log) (w debuginfo.Want, others bool) {
	boot := 0
	if len(log.Oopses) > 0 {
		o := log.Oopses[0]
		w.Release, w.BuildID, boot = o.Release, o.BuildID, o.Boot
	}
	if boot < len(log.Boots) {
		b := log.Boots[boot]
		w.Banner = b.Banner
		if w.Release == "" {
			w.Release = b.Release
		}
	}
	for _, o := range log.Oopses {
		others = others || o.Release != "" && o.Release != w.Release
	}
	return w, others
}

// file opens the file of the kernel, or of a module; it is decode.Files.
func (t *textFiles) file(module, buildID string) (*dwarf.File, error) {
	w := t.of
	if module != "" {
		w = debuginfo.Want{Module: module, BuildID: buildID, Release: w.Release}
	}
	f, err := t.debug.openWanted(t.env.ctx, w)
	var other *debuginfo.OtherBuild
	if errors.As(err, &other) {
		return nil, fmt.Errorf("%s is of another build: its %s is %s, the text's %s (--force-vmlinux takes it)", other.Path, other.What, other.Found, other.Dump)
	}
	return f, err
}

// decodeText finds the source lines of a text's places. It prints the text with the lines
// behind them; into the reports of log they go instead when that is what is printed.
func decodeText(env *environment, flags *debugFlags, name string, text []byte, log *oops.Log, printed bool) error {
	debug, err := flags.files(env, name)
	if err != nil {
		return err
	}
	defer debug.close()
	of, others := kernelOf(log)
	if others {
		env.warn("%s is of several kernels: lines are those of %s", name, of.Release)
	}
	d := decode.New((&textFiles{env, debug, of}).file)
	var places, told int
	if printed {
		var out bytes.Buffer // printed when all is read: a bar is on the screen until then
		places, told, err = d.Text(&out, text)
		env.out.Write(out.Bytes()) //nolint:errcheck // main tells it
	} else {
		places, told, err = d.Log(log)
	}
	switch {
	case env.ctx.Err() != nil:
		return env.ctx.Err()
	case places == 0:
		return fmt.Errorf("%s: no place of code with its offset and size in it", name)
	case told == 0:
		return fmt.Errorf("none of %s has a source line: %w", count(places, "place"), err)
	case err != nil:
		env.warn("%d of %s without a source line: %v", places-told, count(places, "place"), err)
	}
	return nil
}
