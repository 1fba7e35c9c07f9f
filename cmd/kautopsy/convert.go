package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

func convertCommand() command {
	return command{
		name: "convert", group: "The dump", args: "DUMP OUT",
		short: "write the dump in another form",
		long: "Writes OUT as a kdump-compressed file, in any codec, or as ELF. Flattened\n" +
			"streams and split sets become plain files; --flat and --split make them.\n" +
			"OUT appears when it is whole; an existing file is kept unless --force. - is\n" +
			"standard output, as a flattened stream. What is lost in a damaged dump is\n" +
			"marked lost in OUT: exit 4.",
		example: "kautopsy convert -f zstd --level 3 /var/crash/vmcore vmcore.zstd",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			df := addDumpFlags(fs)
			c := &convertFlags{}
			fs.StringVarP(&c.form, "format", "f", "", "`FORM` of OUT: zlib, lzo, snappy, zstd, none (kdump-compressed) or elf; without it kdump-compressed, in DUMP's codec or zlib")
			fs.IntVarP(&c.dump, "dump-level", "d", 0, "leave pages out, a sum as for makedumpfile: 2 page cache, 4 with private data, 8 of processes, 16 free (`LEVEL`)")
			fs.IntVar(&c.level, "level", 0, "the codec's `LEVEL`; 0 is what makedumpfile uses")
			fs.IntVar(&c.split, "split", 1, "write `N` parts: OUT.1, OUT.2, …")
			fs.BoolVar(&c.flat, "flat", false, "wrap OUT in a flattened stream, as makedumpfile -F does")
			fs.BoolVar(&c.force, "force", false, "replace files that exist")
			fs.BoolVar(&c.json, "json", false, "print JSON")
			return func(env *environment, args []string) error {
				d, rest, err := df.open(env, args)
				if err != nil {
					return err
				}
				defer d.Close()
				if len(rest) == 0 || rest[0] == "" {
					return usagef("which file is to be written?")
				}
				if err := noMore(rest[1:]); err != nil {
					return err
				}
				release := holdOn(env)
				err = c.run(env, d, rest[0])
				release(err)
				return err
			}
		},
	}
}

type convertFlags struct {
	form         string
	dump         int
	level, split int
	flat, force  bool
	json         bool
}

// conversion is what the flags ask for.
func (c *convertFlags) conversion(d *vmcore.Dump) (vmcore.Conversion, error) {
	v := vmcore.Conversion{Format: "kdump", Codec: c.form, Level: c.level}
	switch c.form {
	case "elf":
		v.Format, v.Codec = "elf", ""
	case "", "kdump":
		if v.Codec = d.Header.Codec; !slices.Contains([]string{"zlib", "lzo", "snappy", "zstd"}, v.Codec) {
			v.Codec = "zlib"
		}
	case "zlib", "lzo", "snappy", "zstd", "none":
	default:
		return v, usagef("no form %q: zlib, lzo, snappy, zstd, none or elf", c.form)
	}
	switch {
	case c.dump < 0 || c.dump > 31:
		return v, usagef("-d takes 0 to 31")
	case c.split < 1 || c.split > 256:
		return v, usagef("--split takes 1 to 256")
	case c.split > 1 && v.Format == "elf":
		return v, usagef("an ELF file is not split: -f zlib, lzo, snappy, zstd or none")
	}
	most := map[string]int{"zlib": 9, "zstd": 22}[v.Codec]
	switch {
	case c.level != 0 && most == 0:
		return v, usagef("--level is for zlib and zstd")
	case c.level < 0 || c.level > most:
		return v, usagef("--level takes 1 to %d for %s", most, v.Codec)
	}
	return v, nil
}

func (c *convertFlags) run(env *environment, d *vmcore.Dump, name string) error {
	v, err := c.conversion(d)
	if err != nil {
		return err
	}
	gaps, err := askKernel(env, d, &v, c.dump)
	if err != nil {
		return err
	}
	outs, err := c.create(env, d, name)
	if err != nil {
		return err
	}
	defer outs.discard()
	writers, err := outs.writers(c.flat)
	if err != nil {
		return err
	}
	bar := newBar(env)
	done, err := d.Convert(env.ctx, v, writers, bar.show)
	bar.end()
	if err != nil {
		return outs.named(err)
	}
	size, err := outs.commit(c.force)
	if err != nil {
		return outs.named(err)
	}
	if done.Lost > 0 {
		env.partial = true
		env.warn("%d pages are lost in %s; they are marked so, and the new dump is marked incomplete", done.Lost, d.Name())
	}
	if outs.stream != nil {
		return nil
	}
	if c.json {
		return printJSON(env.out, convertDocument{
			Schema: schema, File: d.Name(), Out: outs.names, Size: size, Pages: done.Pages, Lost: done.Lost,
			Missing: append(missing("dump", d.Header.Problems...), gaps...),
		})
	}
	fmt.Fprintf(env.out, "%s: %d pages, %s (%s before)\n", strings.Join(outs.names, " "), done.Pages, bytesOf(uint64(size)), bytesOf(uint64(d.Size())))
	return nil
}

// create begins what is to be written: a file, the parts of a set, or standard output.
func (c *convertFlags) create(env *environment, d *vmcore.Dump, name string) (*outputs, error) {
	switch {
	case name == "-" && (c.json || c.split > 1):
		return nil, usagef("- takes one dump and nothing else: no --split, no --json")
	case name == "-" && env.outTerm.is():
		return nil, usagef("a dump is nothing for a terminal: kautopsy convert DUMP - | …")
	case name == "-":
		return &outputs{stream: env.out}, nil
	case c.split == 1:
		return createOutputs(d, []string{name}, c.force)
	}
	var names []string
	for i := range c.split {
		names = append(names, fmt.Sprintf("%s.%d", name, i+1))
	}
	return createOutputs(d, names, c.force)
}

// askKernel asks the kernel in the dump for what the dump itself does not say: its name,
// and which pages a level leaves out. What could not be classified is kept, and told.
func askKernel(env *environment, d *vmcore.Dump, v *vmcore.Conversion, level int) ([]kernel.Missing, error) {
	filter := level&^mm.LevelZero != 0
	if d.Header.Utsname.Release != "" && !filter {
		return nil, nil
	}
	k, err := kernel.Open(d, &kernel.Options{Context: env.ctx})
	if err != nil {
		if filter {
			return nil, fmt.Errorf("-d %d needs the kernel's page structures: %w", level, err)
		}
		return nil, nil
	}
	v.Utsname, _ = k.Utsname()
	if !filter {
		return nil, nil
	}
	var gaps []kernel.Missing
	v.DumpLevel = level
	v.Exclude, gaps, err = excluded(env, k, d, level)
	return gaps, err
}

// excluded are the pages that a level leaves out, as runs of the dump's pages, which can be
// larger than the kernel's: only whole ones count.
func excluded(env *environment, k *kernel.Kernel, d *vmcore.Dump, level int) (out []phys.Run, gaps []kernel.Missing, err error) {
	size := phys.Addr(d.PageSize())
	span := phys.Span{}
	add := func() {
		first, end := (span.Start+size-1)/size, span.End/size
		if first < end {
			out = append(out, phys.Run{Start: phys.PFN(first), End: phys.PFN(end), Why: phys.ErrExcluded})
		}
		span = phys.Span{}
	}
	for run, err := range mm.New(k).PageRuns(env.ctx, phys.PageSpan(0, uint64(d.MaxPFN()), d.PageSize())) {
		switch {
		case env.ctx.Err() != nil:
			return nil, nil, env.ctx.Err()
		case err != nil:
			env.met(err)
			gaps = append(gaps, kernel.NewMissing("struct page", err, "these pages are kept whatever they are"))
		case !run.Class.Excluded(level):
		case span.End == run.Span.Start && span.Len() > 0:
			span.End = run.Span.End
		default:
			add()
			span = run.Span
		}
	}
	add()
	if len(gaps) > 0 {
		env.warn("%s: %s", count(len(gaps), "run of struct pages")+" cannot be read; what they are about is kept", gaps[0].Why)
	}
	return out, gaps, nil
}

// convertDocument is the answer in JSON.
type convertDocument struct {
	Schema  int              `json:"schema"`
	File    string           `json:"file"`
	Out     []string         `json:"out"`
	Size    int64            `json:"size"`
	Pages   uint64           `json:"pages"`
	Lost    uint64           `json:"lost"`
	Missing []kernel.Missing `json:"missing"`
}
