package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

type rdFlags struct {
	dump                       *dumpFlags
	user                       *userFlags
	physical                   bool
	w8, w16, w32, w64          bool
	decimal, udecimal, noASCII bool
	ascii, symbol              bool
	slab                       int
	network                    bool
	file                       string
	end                        string
	offset                     string
	json                       bool
}

func rdCommand() command {
	return command{
		name: "rd", group: "Memory and types", args: "DUMP ADDRESS|SYMBOL [COUNT]",
		short: "read memory",
		long: `Prints COUNT words (1 by default) at an address, in crash's form. Addresses are
hexadecimal, with or without 0x; COUNT is decimal, or hexadecimal with 0x. An
address of user space is one of the task that crashed, or of that which -c
names. Memory that is not in the dump ends the output and is named.`,
		example: "kautopsy rd /var/crash/vmcore linux_banner 16",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &rdFlags{dump: addDumpFlags(fs), user: addUserFlags(fs)}
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
			fs.CountVarP(&f.slab, "slab", "S", "as -s, and [CACHE] for what leads into a slab; -SS [ADDRESS:CACHE]")
			fs.BoolVarP(&f.network, "network", "N", false, "words are in network byte order")
			fs.StringVarP(&f.file, "raw", "r", "", "write the bytes to `FILE` and print nothing")
			fs.StringVarP(&f.end, "end", "e", "", "read up to `ADDRESS` in place of COUNT")
			fs.StringVarP(&f.offset, "offset", "o", "", "add `OFFSET` to the address")
			fs.BoolVar(&f.json, "json", false, "print JSON")
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
	f.symbol = f.symbol || f.slab > 0
	if f.symbol && (f.w8 || f.w16 || f.w32 || f.w64 || f.ascii) {
		return usagef("-s shows words as wide as a pointer, so not with -8, -16, -32, -64 or -a")
	}
	r := &reading{env: env, k: k, f: f, width: f.width(k), order: k.Dump().Header.Order}
	if f.network {
		r.order = binary.BigEndian
	}
	if r.at, err = f.start(env, k, rest[0]); err != nil {
		return err
	}
	if !f.physical {
		if r.of, err = f.user.process(env, k, r.at); err != nil {
			return err
		}
	} else if f.user.set() {
		return usagef("-p is for physical addresses, -u and -c for those of a process: one of them")
	}
	n, err := f.length(env, k, r, rest[1:])
	if err != nil {
		return err
	}
	if f.symbol {
		r.table, _ = k.AllSymbols(env.ctx)
	}
	if f.slab > 0 {
		r.cache = slabNames(env, k, f.slab > 1)
	}
	b, err := r.read(n)
	if f.untilEnd(rest) {
		if b = upToOdd(b); len(b) > 0 {
			err = nil
		}
	}
	if len(b) == 0 && err != nil {
		return err
	}
	if perr := r.print(b, err); perr != nil || err == nil {
		return perr
	}
	env.warn("%v", err)
	env.partial = true
	return nil
}

// untilEnd tells whether a text is read up to its end, wherever that is.
func (f *rdFlags) untilEnd(args []string) bool { return f.ascii && len(args) == 1 && f.end == "" }

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
		return 0, usagef("--offset %s: not a number (decimal, or hexadecimal with 0x)", f.offset)
	}
	return at + uint64(off), nil
}

// maxRead bounds what one rd prints.
const maxRead = 1 << 30

// length is how many bytes to read.
func (f *rdFlags) length(env *environment, k *kernel.Kernel, r *reading, args []string) (int, error) {
	if f.end != "" && len(args) > 0 {
		return 0, usagef("either COUNT or --end, not both")
	}
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
	switch {
	case len(args) == 0 && f.ascii:
		return asciiDefault, nil
	case len(args) == 0:
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
	env   *environment
	k     *kernel.Kernel
	f     *rdFlags
	at    uint64
	of    *userProcess // whose memory it is, nil for the kernel's
	width int
	order binary.ByteOrder
	table *symbols.Table
	cache func(va uint64) string // of -S
}

// slabNames tells into which slab cache an address leads, as crash's rd -S does.
func slabNames(env *environment, k *kernel.Kernel, full bool) func(uint64) string {
	m := mm.New(k)
	return func(va uint64) string {
		p := m.Describe(env.ctx, va)
		switch {
		case p.Kind != mm.PlaceSlab || p.Slab == nil || p.Slab.Cache == nil:
			return ""
		case full:
			return fmt.Sprintf("[%x:%s]", va, p.Slab.Cache.Name)
		}
		return "[" + p.Slab.Cache.Name + "]"
	}
}

func (r *reading) read(n int) (b []byte, err error) {
	b = make([]byte, n)
	switch {
	case r.f.physical:
		n, err = r.k.Dump().ReadPhys(b, phys.Addr(r.at))
	case r.of != nil:
		n, err = r.of.read(b, r.at)
	default:
		n, err = r.k.ReadVirt(b, r.at)
	}
	return b[:n/r.width*r.width], err
}

// print prints what was read; err is what ended it early.
func (r *reading) print(b []byte, err error) error {
	switch {
	case r.f.file != "":
		return writeOutput(r.env, r.k.Dump(), r.f.file, func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		})
	case r.f.json:
		return r.printJSON(b, err)
	case r.f.ascii:
		return r.printASCII(b)
	}
	for off := 0; off < len(b); off += lineBytes {
		fmt.Fprintln(r.env.out, r.line(r.at+uint64(off), b[off:min(off+lineBytes, len(b))]))
	}
	return nil
}

// lineBytes is how much memory stands on a line, whatever the width of a word.
const lineBytes = 16

// line is "ffffffff8ca39960:  65762078756e694c 2e36206e6f697372   Linux version 6.".
func (r *reading) line(at uint64, part []byte) string {
	line := r.address(at)
	for i := 0; i < len(part); i += r.width {
		line += r.word(part[i:i+r.width]) + " "
	}
	if !r.f.noASCII && !r.f.symbol && !r.f.decimal && !r.f.udecimal {
		pad := (lineBytes - len(part)) / r.width * (2*r.width + 1)
		line += fmt.Sprintf("%*s  %s", pad, "", dots(part))
	}
	return strings.TrimRight(line, " ")
}

// address is the head of a line, as wide as a pointer.
func (r *reading) address(at uint64) string { return fmt.Sprintf("%*x:  ", 2*r.k.PtrSize(), at) }

// word prints one word as the flags ask.
func (r *reading) word(b []byte) string {
	v := bin.Uint(b, r.order)
	digits := 2 * r.width
	switch {
	case r.f.symbol:
		if name := r.name(v); name != "" {
			return fmt.Sprintf("%-*s", digits, name)
		}
	case r.f.decimal:
		shift := 64 - 8*r.width
		return fmt.Sprintf("%*d", decimalWidth[r.width], int64(v<<shift)>>shift)
	case r.f.udecimal:
		return fmt.Sprintf("%*d", decimalWidth[r.width], v)
	}
	return fmt.Sprintf("%0*x", digits, v)
}

// name is the symbol that a word leads to, or the slab cache.
func (r *reading) name(v uint64) string {
	if r.table != nil {
		if s, off, err := r.table.At(v); err == nil {
			return symbolText(s, off)
		}
	}
	if r.cache != nil {
		return printable(r.cache(v))
	}
	return ""
}

// decimalWidth is the column of a decimal word of so many bytes. crash has 3, 5, 12 and 15
// and shifts the rest where a number is longer.
var decimalWidth = map[int]int{1: 4, 2: 6, 4: 12, 8: 20}

// dots shows bytes as text, a dot for what is not printable.
func dots(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if out[i] = c; odd(c) {
			out[i] = '.'
		}
	}
	return string(out)
}

// odd tells what isprint denies in the C locale.
func odd(c byte) bool { return c < ' ' || c >= 0x7f }

// upToOdd is the text before the first byte that is not printable.
func upToOdd(b []byte) []byte {
	if i := slices.IndexFunc(b, odd); i >= 0 {
		return b[:i]
	}
	return b
}

// asciiLine is how many characters crash prints on a line of rd -a.
const asciiLine = 60

// printASCII prints the runs of printable characters, a line each or several.
func (r *reading) printASCII(b []byte) error {
	found := false
	for off := 0; off < len(b); {
		run := upToOdd(b[off:min(off+asciiLine, len(b))])
		if len(run) > 0 {
			fmt.Fprintf(r.env.out, "%s%s\n", r.address(r.at+uint64(off)), run)
			found = true
		}
		off += len(run)
		for off < len(b) && odd(b[off]) {
			off++
		}
	}
	if !found {
		return errors.New("no text at that address")
	}
	return nil
}

func (r *reading) printJSON(b []byte, err error) error {
	words := make([]hexAddress, 0, len(b)/r.width)
	for i := 0; i < len(b); i += r.width {
		words = append(words, hexAddress(bin.Uint(b[i:i+r.width], r.order)))
	}
	return printJSON(r.env.out, struct {
		Schema   int              `json:"schema"`
		Address  hexAddress       `json:"address"`
		Physical bool             `json:"physical"`
		PID      *int             `json:"pid,omitempty"` // of the process whose memory it is
		Bytes    int              `json:"word_bytes"`
		Words    []hexAddress     `json:"words"`
		Missing  []kernel.Missing `json:"missing"`
	}{schema, hexAddress(r.at), r.f.physical, r.of.pid(), r.width, words, missing("memory", err)})
}
