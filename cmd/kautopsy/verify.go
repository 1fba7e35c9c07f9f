package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

func verifyCommand() command {
	return command{
		name: "verify", group: "The dump", args: "DUMP",
		short:   "read every page and report damage",
		long:    "Decodes all pages on all CPUs. Exit 0 when every page is good, 4 when some\nare not.",
		example: "kautopsy verify /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			df := addDumpFlags(fs)
			df.mapped = true
			asJSON := fs.Bool("json", false, "print JSON")
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
	if v.Good+v.Lost+v.Corrupt == 0 {
		return fmt.Errorf("%s holds no page at all", d.Name())
	}
	env.partial = env.partial || len(v.Damage) > 0
	if asJSON {
		return printJSON(env.out, verifyJSON(d, v))
	}
	printVerification(env.out, d, v)
	printDamage(newSheet(env), v)
	return nil
}

func printVerification(w io.Writer, d *vmcore.Dump, v *vmcore.Verification) {
	verdict := "every page is good"
	if n := v.Lost + v.Corrupt; n > 0 {
		verdict = fmt.Sprintf("DAMAGED: %d of %d pages cannot be had", n, v.Good+n)
	}
	fmt.Fprintf(w, "%s\n\n", verdict)
	row := func(name string, n uint64, note string) {
		fmt.Fprintf(w, "  %-9s %10d pages %10s   %s\n", name, n, bytesOf(n*uint64(d.PageSize())), note)
	}
	row("good", v.Good, fmt.Sprintf("%d of them zero", v.Zero))
	if v.Excluded > 0 {
		row("excluded", v.Excluded, "left out by the dump filter")
	}
	if v.Lost > 0 {
		row("lost", v.Lost, "should be in the file")
	}
	if v.Corrupt > 0 {
		row("corrupt", v.Corrupt, "do not decode")
	}
	fmt.Fprintf(w, "\n%s read in %.2f s (%s/s)\n", bytesOf(v.Bytes), v.Elapsed.Seconds(), rate(v))
}

func rate(v *vmcore.Verification) string {
	return bytesOf(uint64(float64(v.Bytes) / max(v.Elapsed.Seconds(), 1e-6)))
}

// shownDamage is how many runs the text shows; JSON has them all.
const shownDamage = 12

func printDamage(s *sheet, v *vmcore.Verification) {
	for i, g := range v.Damage {
		switch i {
		case 0:
			fmt.Fprint(s.w, "\nDamage, by page number\n")
		case shownDamage:
			fmt.Fprintf(s.w, "  … and %s (--json has them all)\n", count(len(v.Damage)-i, "more run"))
			return
		}
		line := fmt.Sprintf("  %#x-%#x  %s %s: %s", uint64(g.First), uint64(g.Last),
			count(int(g.Last-g.First)+1, "page"), reasonWord(g.Why), detail(g))
		fmt.Fprintln(s.w, clip(printable(line), s.width))
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

// verifyDocument is the answer in JSON.
type verifyDocument struct {
	Schema   int              `json:"schema"`
	File     string           `json:"file"`
	PageSize int              `json:"page_size"`
	Pages    verifyPages      `json:"pages"`
	Stored   *storedPages     `json:"compression,omitempty"`
	Damage   []verifyDamage   `json:"damage"`
	Cut      bool             `json:"damage_cut"`
	Bytes    uint64           `json:"bytes_read"`
	Seconds  float64          `json:"seconds"`
	Missing  []kernel.Missing `json:"missing"`
}

type verifyPages struct {
	Present  uint64 `json:"present"`
	Zero     uint64 `json:"zero"`
	Excluded uint64 `json:"excluded"`
	Hole     uint64 `json:"hole"`
	Lost     uint64 `json:"lost"`
	Corrupt  uint64 `json:"corrupt"`
}

// storedPages counts pages by the codec in which they are stored.
type storedPages struct {
	None   uint64 `json:"none"`
	Zlib   uint64 `json:"zlib"`
	LZO    uint64 `json:"lzo"`
	Snappy uint64 `json:"snappy"`
	Zstd   uint64 `json:"zstd"`
}

// stored counts, nil where the descriptors cannot be read.
func stored(d *vmcore.Dump) *storedPages {
	n, err := d.Stored()
	if err != nil {
		return nil
	}
	return &storedPages{n["none"], n["zlib"], n["lzo"], n["snappy"], n["zstd"]}
}

type verifyDamage struct {
	First  uint64 `json:"pfn_first"`
	Last   uint64 `json:"pfn_last"`
	Why    string `json:"why"`
	Detail string `json:"detail"`
}

func verifyJSON(d *vmcore.Dump, v *vmcore.Verification) verifyDocument {
	list := make([]verifyDamage, 0, len(v.Damage))
	for _, g := range v.Damage {
		list = append(list, verifyDamage{uint64(g.First), uint64(g.Last), reasonWord(g.Why), detail(g)})
	}
	return verifyDocument{
		Schema: schema, File: d.Name(), PageSize: d.PageSize(),
		Pages:  verifyPages{v.Good, v.Zero, v.Excluded, v.Hole, v.Lost, v.Corrupt},
		Stored: stored(d),
		Damage: list, Cut: v.Cut, Bytes: v.Bytes, Seconds: v.Elapsed.Seconds(),
		Missing: missing("dump", d.Header.Problems...),
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
