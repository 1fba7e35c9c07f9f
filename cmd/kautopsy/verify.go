package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

func verifyCommand() command {
	return command{
		name: "verify", group: "The dump", args: "DUMP",
		short:   "read every page and report damage",
		long:    "Decodes all pages on all CPUs. Exit 0 when every page is good, 4 when some are not.",
		example: "kautopsy verify /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			df := addDumpFlags(fs)
			asJSON := fs.Bool("json", false, "JSON")
			return func(env *environment, args []string) error {
				d, rest, err := df.open(env, args)
				if err != nil {
					return err
				}
				defer d.Close()
				if err := noMore(rest); err != nil {
					return err
				}
				return runVerify(env, d, *asJSON)
			}
		},
	}
}

func runVerify(env *environment, d *vmcore.Dump, asJSON bool) error {
	bar := newBar(env)
	v, err := d.Verify(env.ctx, bar.show)
	bar.end()
	if err != nil {
		return err
	}
	if len(v.Damage) > 0 {
		env.partial = true
	}
	if asJSON {
		return printJSON(env.out, verifyJSON(d, v))
	}
	printVerification(env.out, d, v)
	return nil
}

func printVerification(w io.Writer, d *vmcore.Dump, v *vmcore.Verification) {
	verdict := "every page is good"
	if n := v.Lost + v.Corrupt; n > 0 {
		verdict = fmt.Sprintf("%d of %d pages are damaged", n, v.Good+n)
	}
	fmt.Fprintf(w, "%s\n\n", verdict)
	row := func(name string, n uint64, note string) {
		fmt.Fprintf(w, "  %-9s %10d pages %10s  %s\n", name, n, bytesOf(n*uint64(d.PageSize())), note)
	}
	row("good", v.Good, fmt.Sprintf("%d of them zero", v.Zero))
	row("excluded", v.Excluded, "left out by the dump filter")
	if v.Lost > 0 {
		row("lost", v.Lost, "should be in the file")
	}
	if v.Corrupt > 0 {
		row("corrupt", v.Corrupt, "do not decode")
	}
	fmt.Fprintf(w, "\n%s read in %s (%s/s)\n", bytesOf(v.Bytes), v.Elapsed.Round(time.Millisecond), rate(v))
	printDamage(w, v)
}

func rate(v *vmcore.Verification) string {
	return bytesOf(uint64(float64(v.Bytes) / max(v.Elapsed.Seconds(), 1e-6)))
}

// shownDamage is how many runs the text shows; JSON has them all.
const shownDamage = 20

func printDamage(w io.Writer, v *vmcore.Verification) {
	if len(v.Damage) == 0 {
		return
	}
	fmt.Fprintf(w, "\nDamage, by page number\n")
	for i, g := range v.Damage {
		if i == shownDamage {
			fmt.Fprintf(w, "  … and %d more runs (--json has them all)\n", len(v.Damage)-i)
			return
		}
		fmt.Fprintf(w, "  %#x-%#x  %s\n", uint64(g.First), uint64(g.Last), printable(detail(g)))
	}
}

// detail says in short what was wrong with the first page of a run.
func detail(g vmcore.Damage) string {
	if pe, ok := g.Detail.(*phys.PageError); ok {
		return pe.Err.Error()
	}
	return g.Why.Error()
}

func reasonWord(err error) string {
	if phys.Reason(err) == phys.ErrCorrupt {
		return "corrupt"
	}
	return "lost"
}

func verifyJSON(d *vmcore.Dump, v *vmcore.Verification) any {
	type damage struct {
		First  uint64 `json:"pfn_first"`
		Last   uint64 `json:"pfn_last"`
		Why    string `json:"why"`
		Detail string `json:"detail"`
	}
	list := make([]damage, 0, len(v.Damage))
	for _, g := range v.Damage {
		list = append(list, damage{uint64(g.First), uint64(g.Last), reasonWord(g.Why), detail(g)})
	}
	return map[string]any{
		"schema": schema, "file": d.Name(), "page_size": d.PageSize(),
		"pages": map[string]uint64{
			"present": v.Good, "zero": v.Zero, "excluded": v.Excluded, "hole": v.Hole, "lost": v.Lost, "corrupt": v.Corrupt,
		},
		"damage": list, "damage_cut": v.Cut, "bytes_read": v.Bytes, "seconds": v.Elapsed.Seconds(), "missing": []string{},
	}
}

// bar is a progress bar on stderr, only on a terminal and at most ten times a second.
type bar struct {
	w    io.Writer
	cols int
	last time.Time
	used bool
}

func newBar(env *environment) *bar { return &bar{w: env.err, cols: env.errTerm.width} }

func (b *bar) show(done, total uint64) {
	if b.cols == 0 || total == 0 || time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last, b.used = time.Now(), true
	width := min(50, max(10, b.cols-20))
	full := int(uint64(width) * min(done, total) / total)
	fmt.Fprintf(b.w, "\r%s%s %3d %%", strings.Repeat("█", full), strings.Repeat("░", width-full), 100*min(done, total)/total)
}

// end takes the bar off the screen.
func (b *bar) end() {
	if b.used {
		fmt.Fprintf(b.w, "\r%*s\r", min(60, b.cols-1), "")
	}
}
