package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/debuginfo"
)

type debuginfoFlags struct {
	dump *dumpFlags
	all  bool
	json bool
}

func debuginfoCommand() command {
	return command{
		name: "debuginfo", group: "Code", args: "DUMP [MODULE…]",
		short: "which vmlinux and .ko belong to a dump, and where they are",
		long: `Looks for the vmlinux of the dump's kernel, and for the files of the modules
that are named, as bt -l, line and dis -l do: by build-id, in what -k and
--debug-dir name, beside the dump, in /usr/lib/debug (by the dump's release, not
this machine's), in packages, and at debuginfod servers with --debuginfod. What
was met and is of another build is told, and which package has the right one.
What was packed is unpacked to ~/.cache/kautopsy.
Exit 1 when one of them is not there.`,
		example: "kautopsy debuginfo --debuginfod /var/crash/vmcore ext4",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &debuginfoFlags{dump: addCodeFlags(fs)}
			fs.BoolVarP(&f.all, "all", "a", false, "all modules of the dump")
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

// debuginfoFile is what was found of the kernel, or of a module.
type debuginfoFile struct {
	Module  string `json:"module,omitempty"`
	BuildID string `json:"build_id,omitempty"` // the dump's
	Path    string `json:"path,omitempty"`
	Origin  string `json:"origin,omitempty"`
	Proof   string `json:"proof,omitempty"`
	Forced  bool   `json:"forced,omitempty"`
	Why     string `json:"why,omitempty"` // it was not found
}

// debuginfoMet is a file that was met and not taken.
type debuginfoMet struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

type debuginfoDocument struct {
	Schema  int              `json:"schema"`
	Release string           `json:"release,omitempty"`
	Files   []debuginfoFile  `json:"files"`
	Met     []debuginfoMet   `json:"met"`
	Install []string         `json:"install"`
	Missing []kernel.Missing `json:"missing"`
}

func (f *debuginfoFlags) run(env *environment, args []string) error {
	f.dump.debug.checked = false // this is the command that tells of it
	d, names, err := f.dump.open(env, args)
	if err != nil {
		return err
	}
	defer d.Close()
	_, files, err := f.dump.openDebug(env, d, args[0])
	if err != nil {
		return err
	}
	defer files.close()
	files.silent = true
	wants, err := f.wants(env, files, names)
	if err != nil {
		return err
	}
	doc := files.report(env, wants)
	if f.json {
		err = printJSON(env.out, doc)
	} else {
		doc.print(env)
	}
	if slices.ContainsFunc(doc.Files, func(f debuginfoFile) bool { return f.Path == "" }) {
		return errors.Join(err, errNoAnswer)
	}
	return err
}

// wants are the kernel and the modules that were asked for.
func (f *debuginfoFlags) wants(env *environment, files *debugFiles, names []string) ([]debuginfo.Want, error) {
	list := []debuginfo.Want{wanted(files.k.DebugWant(env.ctx, ""))}
	if len(names) == 0 && !f.all {
		return list, nil
	}
	mods := files.modules(env.ctx)
	files.mods = mods
	if f.all {
		list = append(list, mods...)
	}
	for _, n := range names {
		i := slices.IndexFunc(mods, func(m debuginfo.Want) bool { return m.Module == strings.ReplaceAll(n, "-", "_") })
		if i < 0 {
			return nil, fmt.Errorf("no module %s among %d (kautopsy mod lists them)", n, len(mods))
		}
		list = append(list, mods[i])
	}
	return list, nil
}

// report looks for files and tells what became of it.
func (d *debugFiles) report(env *environment, wants []debuginfo.Want) *debuginfoDocument {
	doc := &debuginfoDocument{Schema: schema, Release: wants[0].Release, Met: []debuginfoMet{}, Install: []string{}, Missing: []kernel.Missing{}}
	for _, w := range wants {
		e := debuginfoFile{Module: w.Module, BuildID: w.BuildID}
		f, err := d.find(env.ctx, w)
		if err != nil {
			e.Why = err.Error()
			doc.Install = debuginfo.Packages(w.Release, w.Banner)
		} else {
			e.Path, e.Origin, e.Proof, e.Forced = f.Path, f.Origin, f.Proof, f.Forced != nil
		}
		doc.Files = append(doc.Files, e)
	}
	for _, a := range d.finder.Trail() {
		if a.Err != nil {
			doc.Met = append(doc.Met, debuginfoMet{a.Path, a.Err.Error()})
		}
	}
	return doc
}

// print writes the answer as text.
func (doc *debuginfoDocument) print(env *environment) {
	s := newSheet(env)
	s.row("kernel", "%s", doc.Release)
	modules, found := 0, 0
	for _, f := range doc.Files {
		if f.Module != "" {
			if modules++; f.Path != "" {
				found++
			}
			continue
		}
		s.row("build-id", "%s", f.BuildID)
		s.row("vmlinux", "%s", f.text())
	}
	if modules > 0 {
		s.row("modules", "%d of %d found", found, modules)
	}
	printModuleFiles(env.out, doc.Files)
	for _, m := range doc.Met {
		s.row("not taken", "%s", m.Why)
	}
	if len(doc.Install) > 0 {
		s.row("install", "%s", strings.Join(doc.Install, ", "))
	}
}

// printModuleFiles lists the modules and their files.
func printModuleFiles(w io.Writer, files []debuginfoFile) {
	width := 0
	for _, f := range files {
		width = max(width, columns(printable(f.Module)))
	}
	for _, f := range files {
		if f.Module != "" {
			fmt.Fprintf(w, "  %-*s  %s\n", width, printable(f.Module), printable(f.text()))
		}
	}
}

// text is where a file is and what shows that it is the right one.
func (f *debuginfoFile) text() string {
	s := f.Path
	switch {
	case f.Path == "":
		return "not found"
	case f.Origin != f.Path:
		s += " (from " + f.Origin + ")"
	}
	switch {
	case f.Forced:
		return s + ", of another build, taken by force"
	case f.Proof == "":
		return s + ", whose build cannot be checked"
	}
	return s + ", the same " + f.Proof
}
