package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

type rdFlags struct {
	dump                       *dumpFlags
	physical                   bool
	w8, w16, w32, w64          bool
	decimal, udecimal, noASCII bool
	ascii, symbol, both        bool
	end                        string
	offset                     string
	json                       bool
}

func rdCommand() command {
	return command{
		name: "rd", group: "The kernel inside", args: "DUMP ADDRESS|SYMBOL [COUNT]",
		short: "read memory",
		long: `Prints COUNT words (1 by default) at a kernel address, in crash's form. Addresses
and COUNT are read as crash reads them: addresses in hexadecimal, COUNT in
decimal or with 0x. Memory that is not in the dump ends the output and is named.`,
		example: "kautopsy rd /var/crash/vmcore linux_banner 16",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &rdFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.physical, "physical", "p", false, "the address is physical")
			fs.BoolVar(&f.w8, "8", false, "bytes")
			fs.BoolVar(&f.w16, "16", false, "16-bit words")
			fs.BoolVar(&f.w32, "32", false, "32-bit words")
			fs.BoolVar(&f.w64, "64", false, "64-bit words (default on 64-bit machines)")
			fs.BoolVarP(&f.decimal, "signed", "d", false, "signed decimal")
			fs.BoolVarP(&f.udecimal, "unsigned", "D", false, "unsigned decimal")
			fs.BoolVarP(&f.noASCII, "no-ascii", "x", false, "no text at the right")
			fs.BoolVarP(&f.ascii, "ascii", "a", false, "text only; COUNT is in bytes, without it up to the first unprintable one")
			fs.BoolVarP(&f.symbol, "symbolic", "s", false, "show words that are addresses as symbols")
			fs.StringVarP(&f.end, "end", "e", "", "read up to `ADDRESS` in place of COUNT")
			fs.StringVarP(&f.offset, "offset", "o", "", "add `OFFSET` to the address")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

// expandWidths turns crash's -8, -16, -32 and -64 into flags that pflag reads.
func expandWidths(args []string) []string {
	out := make([]string, 0, len(args))
	for _, a := range args {
		switch a {
		case "-8", "-16", "-32", "-64":
			a = "-" + a
		}
		out = append(out, a)
	}
	return out
}

func (f *rdFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if len(rest) == 0 {
		return usagef("which address?")
	}
	if len(rest) > 2 {
		return usagef("one argument too many: %q", rest[2])
	}
	r := &reading{k: k, f: f, width: f.width(k), w: env.out}
	if r.at, err = f.start(env, k, rest[0]); err != nil {
		return err
	}
	n, err := f.length(env, k, r, rest[1:])
	if err != nil {
		return err
	}
	if f.symbol {
		r.table, _ = k.AllSymbols(env.ctx)
	}
	b, err := r.read(n)
	if perr := r.print(b); perr != nil {
		return perr
	}
	if err == nil || f.ascii && len(rest) == 1 && len(b) > 0 {
		return nil
	}
	if len(b) == 0 {
		return err
	}
	env.warn("%v", err)
	env.partial = true
	return nil
}

func (f *rdFlags) width(k *kernel.Kernel) int {
	switch {
	case f.w8, f.ascii:
		return 1
	case f.w16:
		return 2
	case f.w32:
		return 4
	case f.w64:
		return 8
	}
	return k.PtrSize()
}

func (f *rdFlags) start(env *environment, k *kernel.Kernel, arg string) (uint64, error) {
	at, err := resolve(env, k, arg)
	if err != nil || f.offset == "" {
		return at, err
	}
	off, err := strconv.ParseInt(f.offset, 0, 64)
	if err != nil {
		return 0, usagef("--offset %s: not a number", f.offset)
	}
	return at + uint64(off), nil
}

// maxRead bounds what one rd prints.
const maxRead = 1 << 30

// length is how many bytes to read.
func (f *rdFlags) length(env *environment, k *kernel.Kernel, r *reading, args []string) (int, error) {
	if f.end != "" {
		end, err := resolve(env, k, f.end)
		if err != nil {
			return 0, err
		}
		if end <= r.at || end-r.at > maxRead {
			return 0, usagef("--end %s: not behind the address, or more than %s", f.end, bytesOf(maxRead))
		}
		return int(end-r.at) / r.width * r.width, nil
	}
	if len(args) == 0 {
		if f.ascii {
			return asciiDefault, nil
		}
		return r.width, nil
	}
	n, err := strconv.ParseUint(args[0], 0, 32)
	if err != nil || n == 0 || n*uint64(r.width) > maxRead {
		return 0, usagef("%q is no count of words", args[0])
	}
	return int(n) * r.width, nil
}

// asciiDefault is how far -a looks for the end of a text.
const asciiDefault = 64 << 10

// reading is one rd.
type reading struct {
	k     *kernel.Kernel
	f     *rdFlags
	at    uint64
	width int
	table *symbols.Table
	w     io.Writer
}

func (r *reading) read(n int) (b []byte, err error) {
	b = make([]byte, n)
	if r.f.physical {
		n, err = r.k.Dump().ReadPhys(b, phys.Addr(r.at))
	} else {
		n, err = r.k.ReadVirt(b, r.at)
	}
	return b[:n/r.width*r.width], err
}

func (r *reading) print(b []byte) error {
	switch {
	case r.f.json:
		return r.printJSON(b)
	case r.f.ascii:
		return r.printASCII(b)
	}
	perLine := 16
	if r.f.symbol {
		perLine = 2 * r.width
	}
	var line strings.Builder
	for off := 0; off < len(b); off += perLine {
		part := b[off:min(off+perLine, len(b))]
		line.Reset()
		fmt.Fprintf(&line, "%16x:  ", r.at+uint64(off))
		if r.k.PtrSize() == 4 {
			line.Reset()
			fmt.Fprintf(&line, "%8x:  ", r.at+uint64(off))
		}
		for i := 0; i < len(part); i += r.width {
			line.WriteString(r.word(part[i : i+r.width]))
			line.WriteByte(' ')
		}
		if !r.f.noASCII && !r.f.symbol && !r.f.decimal && !r.f.udecimal {
			fmt.Fprintf(&line, "%*s  %s", r.padding(len(part), perLine), "", dots(part))
		}
		fmt.Fprintln(r.w, strings.TrimRight(line.String(), " "))
	}
	return nil
}

// padding fills a short last line so that the text stays in its column.
func (r *reading) padding(have, perLine int) int { return (perLine - have) / r.width * (2*r.width + 1) }

// word prints one word as the flags ask.
func (r *reading) word(b []byte) string {
	v := bin.Uint(b, r.k.Dump().Header.Order)
	digits := 2 * r.width
	switch {
	case r.f.symbol && r.table != nil:
		if s, off, err := r.table.At(v); err == nil {
			return fmt.Sprintf("%-*s", digits, symbolText(s, off))
		}
	case r.f.decimal:
		shift := 64 - 8*r.width
		return fmt.Sprintf("%*d", decimalWidth[r.width], int64(v<<shift)>>shift)
	case r.f.udecimal:
		return fmt.Sprintf("%*d", decimalWidth[r.width], v)
	}
	return fmt.Sprintf("%0*x", digits, v)
}

// decimalWidth is the column of a decimal word of so many bytes.
var decimalWidth = map[int]int{1: 4, 2: 6, 4: 11, 8: 20}

// dots shows bytes as text, a dot for what is not printable.
func dots(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if out[i] = c; c < ' ' || c >= 0x7f {
			out[i] = '.'
		}
	}
	return string(out)
}

// asciiLine is how many characters crash prints on a line of rd -a.
const asciiLine = 60

func (r *reading) printASCII(b []byte) error {
	for i, c := range b {
		if (c < ' ' || c >= 0x7f) && c != '\t' {
			b = b[:i]
			break
		}
	}
	if len(b) == 0 {
		return errors.New("no text at that address")
	}
	for off := 0; off < len(b); off += asciiLine {
		fmt.Fprintf(r.w, "%16x:  %s\n", r.at+uint64(off), printable(string(b[off:min(off+asciiLine, len(b))])))
	}
	return nil
}

func (r *reading) printJSON(b []byte) error {
	words := make([]hexAddress, 0, len(b)/r.width)
	for i := 0; i < len(b); i += r.width {
		words = append(words, hexAddress(bin.Uint(b[i:i+r.width], r.k.Dump().Header.Order)))
	}
	return printJSON(r.w, map[string]any{
		"schema": schema, "address": hexAddress(r.at), "physical": r.f.physical, "word_bytes": r.width, "words": words, "missing": []string{},
	})
}
