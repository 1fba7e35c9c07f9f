package main

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

type searchFlags struct {
	dump               *dumpFlags
	virtual, physical  bool
	texts              []string
	word, half         bool
	mask               string
	start, end, length string
	bare               bool
	json               bool
}

func searchCommand() command {
	return command{
		name: "search", group: "Memory and types", args: "DUMP VALUE|SYMBOL…",
		short: "find values or texts in memory",
		long: `Looks through all pages of the dump for words that are one of the VALUEs, in
hexadecimal, or the address of a SYMBOL, and prints where each is: by its
address in the kernel image or the direct map, and what that is. -c looks for
texts, across page borders too. With -s and an end only that range is looked at,
which may be one of modules or vmalloc.`,
		example: "kautopsy search /var/crash/vmcore init_task",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &searchFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.virtual, "kernel", "k", false, "addresses are the kernel's, which is the default")
			fs.BoolVarP(&f.physical, "physical", "p", false, "addresses are physical")
			fs.StringArrayVarP(&f.texts, "text", "c", nil, "look for `TEXT`; may be repeated")
			fs.BoolVarP(&f.word, "word", "w", false, "values of 32 bits")
			fs.BoolVarP(&f.half, "half", "h", false, "values of 16 bits")
			fs.StringVarP(&f.mask, "mask", "m", "", "the bits of `MASK` may be anything")
			fs.StringVarP(&f.start, "start", "s", "", "begin at `ADDRESS`")
			fs.StringVarP(&f.end, "end", "e", "", "end before `ADDRESS`")
			fs.StringVarP(&f.length, "length", "l", "", "end `BYTES` behind the start")
			fs.BoolVar(&f.bare, "bare", false, "do not tell what each address is")
			fs.BoolVar(&f.json, "json", false, "print JSON")
			fs.Bool("help", false, "show this help")
			return f.run
		},
	}
}

func (f *searchFlags) run(env *environment, args []string) error {
	if len(args) == 0 && f.half { // -h as other commands have it
		return printHelp(env, find("search"))
	}
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	s, err := f.search(env, k, rest)
	if err != nil {
		return err
	}
	walk, err := f.walk(env, k, s)
	if err != nil {
		return err
	}
	p := &foundPrinter{env: env, k: k, f: f, s: s, asked: rest, docs: []foundDocument{}, lack: []kernel.Missing{}}
	if !f.bare {
		p.memory = mm.New(k)
	}
	p.table, _ = k.AllSymbols(env.ctx)
	return p.all(walk)
}

// search is what the arguments ask for.
func (f *searchFlags) search(env *environment, k *kernel.Kernel, args []string) (s kernel.Search, err error) {
	switch {
	case f.word && f.half:
		return s, usagef("either -w or -h")
	case len(args) == 0 && len(f.texts) == 0:
		return s, usagef("which value? (-c TEXT looks for a text)")
	case f.mask != "" && len(args) == 0:
		return s, usagef("-m goes with values")
	}
	s.Texts, s.Width = f.texts, k.PtrSize()
	if f.word {
		s.Width = 4
	}
	if f.half {
		s.Width = 2
	}
	for _, arg := range args {
		v, err := resolve(env, k, strings.Trim(arg, "()"))
		if err != nil {
			return s, err
		}
		s.Values = append(s.Values, v)
	}
	if f.mask != "" {
		m, _, ok := parseAddress(f.mask)
		if !ok {
			return s, usagef("-m %s: not a number in hexadecimal", f.mask)
		}
		s.Ignore = m
	}
	for _, v := range s.Values {
		if s.Width < 8 && (v&^s.Ignore)>>(8*s.Width) != 0 {
			return s, usagef("%#x has more than %d bits", v, 8*s.Width)
		}
	}
	for _, t := range s.Texts {
		if t == "" {
			return s, usagef("-c: an empty text is everywhere")
		}
	}
	return s, nil
}

// walk is the search in all of memory, or in the range that the flags give.
func (f *searchFlags) walk(env *environment, k *kernel.Kernel, s kernel.Search) (iter.Seq2[kernel.Found, error], error) {
	start, end, err := f.bounds(env, k)
	switch {
	case err != nil:
		return nil, err
	case f.physical && f.virtual:
		return nil, usagef("either -k or -p")
	case f.physical || f.start == "":
		return k.SearchPhys(env.ctx, s, phys.Addr(start), phys.Addr(end)), nil
	}
	return k.SearchVirt(env.ctx, s, start, end), nil
}

// bounds are the addresses that a search is kept to, 0 and 0 for all of memory.
func (f *searchFlags) bounds(env *environment, k *kernel.Kernel) (start, end uint64, err error) {
	address := func(arg string) uint64 {
		if arg == "" || err != nil {
			return 0
		}
		var a uint64
		a, err = resolve(env, k, arg)
		return a
	}
	start, end = address(f.start), address(f.end)
	if err != nil {
		return 0, 0, err
	}
	if f.length != "" {
		n, perr := strconv.ParseUint(f.length, 0, 64)
		if perr != nil || f.end != "" || start+n < start {
			return 0, 0, usagef("-l %s: a number of bytes, without -e", f.length)
		}
		end = start + n
	}
	virtual := f.start != "" && !f.physical
	switch {
	case f.start == "" && (f.end != "" || f.length != "") && !f.physical:
		return 0, 0, usagef("-e and -l go with -s")
	case end != 0 && end <= start:
		return 0, 0, usagef("the range %x to %x is empty", start, end)
	case virtual && end == 0:
		return 0, 0, usagef("-s %s: and up to where? -e ADDRESS or -l BYTES", f.start)
	}
	return start, end, nil
}

// foundPrinter prints what is found.
type foundPrinter struct {
	env    *environment
	k      *kernel.Kernel
	f      *searchFlags
	s      kernel.Search
	asked  []string
	memory *mm.Memory
	table  *symbols.Table
	docs   []foundDocument
	lack   []kernel.Missing
	n      int
}

type foundDocument struct {
	Address  *hexAddress `json:"address,omitempty"`
	Physical *hexAddress `json:"physical,omitempty"`
	Value    *hexAddress `json:"value,omitempty"`
	Text     string      `json:"text,omitempty"`
	Symbol   string      `json:"symbol,omitempty"`
	Place    string      `json:"place,omitempty"`
}

// mostLacking is how many pages that could not be read are told one by one.
const mostLacking = 100

func (p *foundPrinter) all(walk iter.Seq2[kernel.Found, error]) error {
	pages := 0
	for found, err := range walk {
		if err == nil {
			p.one(found)
			continue
		}
		if p.env.ctx.Err() != nil {
			return p.env.ctx.Err()
		}
		if !phys.Damage(err) {
			return err
		}
		p.env.met(err)
		if pages++; pages <= mostLacking {
			p.lack = append(p.lack, missing("memory", err)...)
		}
	}
	if pages > 0 {
		p.env.warn("%s of memory could not be searched; the first: %s", count(pages, "piece"), p.lack[0].Why)
	}
	if p.f.json {
		return printJSON(p.env.out, struct {
			Schema  int              `json:"schema"`
			Found   []foundDocument  `json:"found"`
			Missing []kernel.Missing `json:"missing"`
		}{schema, p.docs, p.lack})
	}
	if p.n == 0 {
		return errors.New("nothing found")
	}
	return nil
}

// one prints one place: its address, what is there, and what the place is.
func (p *foundPrinter) one(found kernel.Found) {
	p.n++
	doc := foundDocument{Text: found.Text}
	if found.Text == "" {
		v := hexAddress(found.Value)
		doc.Value = &v
	}
	va, known := found.Addr, true
	if p.f.physical || p.f.start == "" {
		a := hexAddress(found.Addr)
		doc.Physical = &a
		var err error
		va, err = p.k.Virt(phys.Addr(found.Addr))
		known = err == nil
	}
	if known {
		v := hexAddress(va)
		doc.Address = &v
		doc.Symbol, doc.Place = p.describe(va)
	}
	if p.f.json {
		p.docs = append(p.docs, doc)
		return
	}
	at := fmt.Sprintf("%x", va)
	if p.f.physical || !known {
		at = fmt.Sprintf("%x", found.Addr)
	}
	if !p.f.physical && !known {
		at += " (physical)"
	}
	fmt.Fprintln(p.env.out, p.line(at, found, doc))
}

// line is "ffff8e5781181488: ffffffffb4e1aa40  task_struct +0x1b0".
func (p *foundPrinter) line(at string, found kernel.Found, doc foundDocument) string {
	text := fmt.Sprintf("%s: %0*x", at, 2*p.s.Width, found.Value)
	if found.Text != "" {
		text = at + ": " + printable(found.Text)
	} else if a := p.asked[found.Which]; a != fmt.Sprintf("%x", found.Value) && symbolLike(a) && found.Value == p.s.Values[found.Which] {
		text += " (" + strings.Trim(a, "()") + ")"
	}
	if doc.Place != "" {
		text += "  " + printable(doc.Place)
	}
	return text
}

// symbolLike tells whether an argument was a name.
func symbolLike(arg string) bool {
	_, sure, ok := parseAddress(strings.Trim(arg, "()"))
	return !ok || !sure
}

// describe names a place: the symbol where there is one, else what memory it is.
func (p *foundPrinter) describe(va uint64) (symbol, place string) {
	if p.table != nil {
		if s, off, err := p.table.At(va); err == nil && (s.Size == 0 || off < s.Size) {
			symbol = symbolText(s, off)
		}
	}
	if symbol != "" || p.memory == nil {
		return symbol, symbol
	}
	return "", p.memory.Describe(p.env.ctx, va).Text
}
