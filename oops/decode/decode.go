// Package decode puts source lines behind the places of code that a kernel's text names, as
// scripts/decode_stacktrace.sh of the kernel's sources does:
//
//	 schedule+0x5e/0xd0                          6.x
//	 ? ck_write+0x10a/0x1b0 [crashkit 0123abcd]
//	 [<ffffffff8104e2ae>] ? fn+0x10/0x20 [mod]   to 4.9
//	 [<ffffffff8104e2ae>] 0xffffffff8104e2ae     without symbols
//	RIP: 0010:ck_null_work+0x7/0x1f [crashkit]   the instruction itself; the others are returned to
//
//	decode.go  texts, line by line; oops.go reports that package oops has read
//	image.go   the symbols of vmlinux or a module
//
// A place is only told where it fits: of several functions of one name that counts whose size
// the text has, and a function of another size is of another build. Addresses without a name
// are found by the "Kernel Offset:" line of their boot.
package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// Files opens the debug information of the kernel, "", or of a module, whose build ID the
// text may have. It is asked once for each.
type Files func(module, buildID string) (*dwarf.File, error)

// The reasons why a place has no line.
var (
	// ErrOtherBuild: the function has another size in the file.
	ErrOtherBuild = errors.New("the function is of another size: the file is of another build")
	// ErrNoFunction: the file has no function of that name.
	ErrNoFunction = errors.New("no such function")
	// ErrAmbiguous: several functions have the name, and the size.
	ErrAmbiguous = errors.New("several functions are called so")
)

// Decoder decodes places. It belongs to one goroutine.
type Decoder struct {
	files  Files
	images map[string]*image
	failed map[string]error
}

// New makes a Decoder.
func New(files Files) *Decoder {
	return &Decoder{files: files, images: map[string]*image{}, failed: map[string]error{}}
}

// Place is a place in code as a text names it.
type Place struct {
	Symbol  string
	Offset  uint64
	Size    uint64 // of the function, 0 if the text does not tell
	Module  string
	BuildID string // of the module, "" if the text does not tell
	Address uint64 // in the file, 0 if it is not known
	Exact   bool   // it is the instruction itself, not where a call returns to
}

// Source gives the lines of a place, the innermost inlined function first. The error wraps
// one of this package, dwarf.ErrNoDebug, or what opening the file said.
func (d *Decoder) Source(p Place) ([]dwarf.Source, error) {
	im, err := d.image(p.Module, p.BuildID)
	if err != nil {
		return nil, err
	}
	addr := p.Address
	if p.Symbol != "" {
		if addr, err = im.find(p); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Symbol, err)
		}
	}
	if !p.Exact && p.Offset > 0 {
		addr--
	}
	return im.file.Source(addr)
}

func (d *Decoder) image(module, buildID string) (*image, error) {
	if im := d.images[module]; im != nil {
		return im, nil
	}
	if err := d.failed[module]; err != nil {
		return nil, err
	}
	f, err := d.files(module, buildID)
	var im *image
	if err == nil {
		im, err = readImage(f)
	}
	if err != nil {
		d.failed[module] = err
		return nil, err
	}
	d.images[module] = im
	return im, nil
}

var (
	place = regexp.MustCompile(`([A-Za-z_$.][\w$.]*)\+0x([0-9a-f]+)/0x([0-9a-f]+)(?: \[(\w+)(?: ([0-9a-f]{6,40}))?\])?`)
	// bare are addresses that stand alone in a trace.
	bare = regexp.MustCompile(`^(?:<\d+>)?(?:[A-Z][a-z]{2} +\d+ [\d:]+ \S+ kernel: ?)?(?:\[[^\]]*\] *)* *(?:\? )?0x([0-9a-f]{8,16})\s*$`)
	// offset is what KASLR moved the kernel by (arch/x86/kernel/setup.c, arm64 likewise).
	offset = regexp.MustCompile(`Kernel Offset: (?:0x([0-9a-f]+) from|disabled)`)
	// counter is what stands before the instruction pointer.
	counter = regexp.MustCompile(`(?:R|E)?IP:? (?:is at )?(?:[0-9a-f]{4}:)?(?:\[<[0-9a-f]+>\] *)*$|(?:^|[\] ])(?:pc|PC|NIP|epc|era)(?: is at| ?:)? *(?:\[<?[0-9a-f]+>?\] *)*$|PSW *: .*\(\s*$`)
)

// Text writes a text with the lines behind its places, and gives how many places there are
// and how many have lines; why the others have none is in the error, each reason once, with
// the first place that it holds for.
func (d *Decoder) Text(w io.Writer, text []byte) (places, told int, err error) {
	moved := movedBy(text)
	var why reasons
	pc := ""
	for n := 0; len(text) > 0; n++ {
		line := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line = text[:i+1]
		}
		text = text[len(line):]
		body := strings.TrimRight(string(line), "\r\n")
		end := string(line)[len(body):]
		out, err := d.line(body, &pc, func() uint64 { return moved.at(n) }, &places, &told)
		why.add(err)
		if _, err := io.WriteString(w, out+end); err != nil {
			return places, told, err
		}
	}
	return places, told, why.join()
}

// reasons are errors that differ in what they wrap.
type reasons struct {
	first []error
	count []int
}

func (r *reasons) add(err error) {
	if err == nil {
		return
	}
	cause := func(err error) string {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
		return err.Error()
	}
	i := slices.IndexFunc(r.first, func(e error) bool { return cause(e) == cause(err) })
	if i < 0 {
		i, r.first, r.count = len(r.first), append(r.first, err), append(r.count, 0)
	}
	r.count[i]++
}

func (r *reasons) join() error {
	var all []error
	for i, err := range r.first {
		if n := r.count[i]; n > 1 {
			err = fmt.Errorf("%w (%d times the like)", err, n)
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// line decodes one line; pc is the place where the processor stood last.
func (d *Decoder) line(s string, pc *string, moved func() uint64, places, told *int) (string, error) {
	var b strings.Builder
	var reason error
	done := 0
	add := func(at int, p Place) {
		*places++
		source, err := d.Source(p)
		if err != nil && len(source) == 0 {
			reason = err
			return
		}
		*told++
		b.WriteString(s[done:at])
		b.WriteString(Spell(source))
		done = at
	}
	for _, m := range place.FindAllStringSubmatchIndex(s, -1) {
		p := Place{Symbol: s[m[2]:m[3]], Offset: hex(s[m[4]:m[5]]), Size: hex(s[m[6]:m[7]])}
		if m[8] >= 0 {
			p.Module = s[m[8]:m[9]]
		}
		if m[10] >= 0 {
			p.BuildID = s[m[10]:m[11]]
		}
		text := s[m[0]:m[1]]
		if p.Exact = counter.MatchString(s[:m[0]]); p.Exact {
			*pc = text
		}
		p.Exact = p.Exact || text == *pc // traces of arm64 begin with it
		add(m[1], p)
	}
	if m := bare.FindStringSubmatchIndex(s); m != nil {
		if a := hex(s[m[2]:m[3]]) - moved(); d.holds(a) {
			add(m[3], Place{Address: a, Offset: 1})
		}
	}
	return b.String() + s[done:], reason
}

// holds tells whether the kernel's file has code at an address.
func (d *Decoder) holds(a uint64) bool {
	im, err := d.image("", "")
	return err == nil && slices.ContainsFunc(im.file.Sections(), func(s dwarf.Section) bool { return s.Code && a-s.Addr < s.Size })
}

func hex(s string) uint64 {
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0
	}
	return v
}

// Spell is how lines stand behind a place: " (include/linux/list.h:12 in list_del, fs/a.c:100)".
func Spell(source []dwarf.Source) string {
	var parts []string
	for _, s := range source {
		text := s.String()
		if text == "" {
			text = "?"
		}
		if s.Inlined {
			text += " in " + s.Function
		}
		parts = append(parts, text)
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// moves are the lines that tell what KASLR did, by their number.
type moves []struct {
	line int
	by   uint64
}

func movedBy(text []byte) (all moves) {
	n := 0
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte("Kernel Offset: ")) {
			if m := offset.FindSubmatch(line); m != nil {
				all = append(all, struct {
					line int
					by   uint64
				}{n, hex(string(m[1]))})
			}
		}
		n++
	}
	return all
}

// at is what holds at a line: a panic tells it at its end, so it is the next one.
func (m moves) at(line int) uint64 {
	for _, x := range m {
		if x.line >= line {
			return x.by
		}
	}
	if len(m) > 0 {
		return m[len(m)-1].by
	}
	return 0
}
