package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

type modFlags struct {
	dump    *dumpFlags
	tainted bool
	json    bool
}

func modCommand() command {
	return command{
		name: "mod", group: "The system", args: "DUMP [NAME…]",
		short: "modules: size, users, state, taints, version",
		long: `Lists the loaded modules, newest first. With NAME everything that is known of
those modules. MODULE is the address of the struct module, TAINT has the letters
of /proc/modules: O out of tree, E unsigned, P proprietary, C staging, F forced.`,
		example: "kautopsy mod -t /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &modFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.tainted, "tainted", "t", false, "only modules that taint the kernel")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *modFlags) run(env *environment, args []string) error {
	k, names, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	lack := &lacking{env: env}
	mods, typed, err := modules(env, k, lack)
	if err != nil {
		return err
	}
	n := len(mods)
	mods = slices.DeleteFunc(mods, func(m kernel.ModuleInfo) bool {
		return f.tainted && m.Taints == 0 || len(names) > 0 && !slices.ContainsFunc(names, func(a string) bool { return isModule(m, a) })
	})
	switch {
	case f.json:
		return printJSON(env.out, modDocument(mods, typed, lack.document()))
	case len(names) > 0 && len(mods) == 0:
		return fmt.Errorf("no module %s among %d (kautopsy mod lists them)", strings.Join(names, " "), n)
	case len(names) > 0 && typed:
		for _, m := range mods {
			printModule(env.out, m)
		}
	case typed:
		printModules(env.out, mods)
	default:
		printModuleNames(env.out, mods)
	}
	lack.tell()
	return nil
}

// modules reads the modules; of a kernel without types their names and addresses alone.
func modules(env *environment, k *kernel.Kernel, lack *lacking) (mods []kernel.ModuleInfo, typed bool, err error) {
	typed = true
	for m, merr := range k.ModuleInfos(env.ctx) {
		if errors.Is(merr, symbols.ErrNoType) {
			typed = false
		}
		lack.add("modules", merr)
		if m.Addr != 0 {
			mods = append(mods, m)
		}
	}
	if typed && (len(mods) > 0 || len(lack.list) == 0) {
		return mods, true, nil
	}
	found, err := k.Modules(env.ctx)
	if len(found) == 0 && err != nil {
		return nil, false, err
	}
	for _, m := range found {
		mods = append(mods, kernel.ModuleInfo{Name: m.Name, Object: kernel.Object{Addr: m.Addr}})
	}
	return mods, false, nil
}

// isModule tells whether an argument names a module: by its name, in which - and _ are the
// same as for modprobe, or by its address.
func isModule(m kernel.ModuleInfo, arg string) bool {
	return strings.ReplaceAll(arg, "-", "_") == strings.ReplaceAll(m.Name, "-", "_") ||
		strings.TrimPrefix(arg, "0x") == fmt.Sprintf("%x", m.Addr)
}

// printModules prints one table of crash's mod and of lsmod.
func printModules(w io.Writer, mods []kernel.ModuleInfo) {
	width := len("NAME")
	for _, m := range mods {
		width = max(width, columns(printable(m.Name)))
	}
	fmt.Fprintf(w, "     MODULE            BASE           SIZE REFS TAINT %-*s  USED BY\n", width, "NAME")
	for _, m := range mods {
		by := strings.Join(users(m), ",")
		if m.State != 0 {
			by = strings.TrimSpace("(" + m.State.String() + ") " + by)
		}
		base, size := "       ?", "?"
		if m.Size > 0 {
			base, size = fmt.Sprintf("%016x", m.Base), fmt.Sprint(m.Size)
		}
		line := fmt.Sprintf("%016x %-16s %9s %4s %-5s %-*s  %s",
			m.Addr, base, size, refs(m), kernel.ModuleTaints(m.Taints), width, printable(m.Name), printable(by))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// printModuleNames prints what a kernel without types tells.
func printModuleNames(w io.Writer, mods []kernel.ModuleInfo) {
	fmt.Fprintln(w, "     MODULE      NAME")
	for _, m := range mods {
		fmt.Fprintf(w, "%016x %s\n", m.Addr, printable(m.Name))
	}
}

// refs is how often a module is used, "-" where the kernel does not count.
func refs(m kernel.ModuleInfo) string {
	if m.Refs < 0 {
		return "-"
	}
	return fmt.Sprint(m.Refs)
}

// users are the modules that use one, and the kernel's word for one that stays for ever.
func users(m kernel.ModuleInfo) []string {
	if m.Permanent {
		return append(slices.Clone(m.UsedBy), "[permanent]")
	}
	return m.UsedBy
}

// printModule prints all that is known of one module.
func printModule(w io.Writer, m kernel.ModuleInfo) {
	fmt.Fprintf(w, "%s  struct module %016x\n", printable(m.Name), m.Addr)
	row := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-13s %s\n", label, printable(value))
		}
	}
	row("state", m.State.String())
	row("references", strings.TrimSpace(refs(m)+"  "+strings.Join(users(m), ",")))
	row("taints", kernel.ModuleTaints(m.Taints))
	row("version", m.Version)
	row("srcversion", m.SrcVersion)
	row("build ID", m.BuildID)
	row("arguments", m.Args)
	for _, a := range m.Areas {
		row(a.Name, fmt.Sprintf("%016x  %d", a.Addr, a.Size))
	}
}

type modEntry struct {
	Name       string     `json:"name"`
	Address    hexAddress `json:"address"`
	Base       hexAddress `json:"base,omitempty"`
	Size       *uint64    `json:"size,omitempty"`
	Refs       *int       `json:"refs,omitempty"`
	UsedBy     []string   `json:"used_by"`
	State      string     `json:"state,omitempty"`
	Permanent  bool       `json:"permanent,omitempty"`
	Taints     string     `json:"taints"`
	Version    string     `json:"version,omitempty"`
	SrcVersion string     `json:"srcversion,omitempty"`
	BuildID    string     `json:"build_id,omitempty"`
	Args       string     `json:"args,omitempty"`
	Areas      []modArea  `json:"areas,omitempty"`
}

type modArea struct {
	Name    string     `json:"name"`
	Address hexAddress `json:"address"`
	Size    uint64     `json:"size"`
}

func modDocument(mods []kernel.ModuleInfo, typed bool, missing []kernel.Missing) any {
	list := make([]modEntry, 0, len(mods))
	for _, m := range mods {
		e := modEntry{Name: m.Name, Address: hexAddress(m.Addr), UsedBy: append([]string{}, m.UsedBy...)}
		if typed {
			e.State, e.Permanent = m.State.String(), m.Permanent
			e.Taints, e.Version, e.SrcVersion, e.BuildID, e.Args = kernel.ModuleTaints(m.Taints), m.Version, m.SrcVersion, m.BuildID, m.Args
		}
		if m.Size > 0 {
			e.Base, e.Size = hexAddress(m.Base), &m.Size
		}
		if typed && m.Refs >= 0 {
			e.Refs = &m.Refs
		}
		for _, a := range m.Areas {
			e.Areas = append(e.Areas, modArea{a.Name, hexAddress(a.Addr), a.Size})
		}
		list = append(list, e)
	}
	return struct {
		Schema  int              `json:"schema"`
		Modules []modEntry       `json:"modules"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, missing}
}
