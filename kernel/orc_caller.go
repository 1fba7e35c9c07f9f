package kernel

import (
	"errors"
	"strings"
)

// byFramePointer is what is left for code without ORC: BPF programs, trampolines, modules
// whose table is lost. why is the reason when that leads nowhere.
//
//	fp    | caller's fp | return address |
func (o *orc) byFramePointer(s state, why error) (hop, error) {
	if s.fp%8 != 0 || s.fp < s.sp || s.fp-s.sp >= stackBytes {
		return hop{}, why
	}
	fp, err := o.k.pointer(s.fp)
	if err != nil {
		return hop{}, errors.Join(why, err)
	}
	pc, err := o.k.pointer(s.fp + 8)
	if err != nil {
		return hop{}, errors.Join(why, err)
	}
	if !o.executable(pc-1) || !o.called(pc) {
		return hop{}, why
	}
	return hop{next: state{pc: pc, sp: s.fp + 16, fp: fp, by: ByFramePointer}}, nil
}

// longestCall is the length of the longest near call without prefixes.
const longestCall = 7

// called looks for the call before addr.
func (o *orc) called(addr uint64) bool {
	b := o.before(addr, longestCall)
	return erased(b, longestCall) || endsInCall(b)
}

// endsInCall tells whether the last bytes of b are a call (Intel SDM volume 2, CALL): E8
// with 4 bytes of distance, or FF /2 with 0 to 5 bytes behind its ModRM byte.
func endsInCall(b []byte) bool {
	if b[longestCall-5] == 0xe8 {
		return true
	}
	for n := 2; n <= longestCall; n++ {
		if b[longestCall-n] == 0xff && modRM(b[longestCall-n+1:]) == n-1 {
			return true
		}
	}
	return false
}

// modRM is the length of the operand of a near call FF /2, 0 when it is none.
//
//	7   6 5   3 2  0
//	|mod| reg | rm |    mod 3: a register; rm 4: a SIB byte follows
func modRM(b []byte) int {
	mod, reg, rm := b[0]>>6, b[0]>>3&7, b[0]&7
	if reg != 2 {
		return 0
	}
	n := 1
	if mod != 3 && rm == 4 {
		n++
	}
	switch {
	case mod == 1:
		n++
	case mod == 2, mod == 0 && rm == 5, mod == 0 && rm == 4 && len(b) > 1 && b[1]&7 == 5:
		n += 4
	}
	return n
}

// caller tells whether the return address g is that of the call to the function of s: the
// call goes there. The frame pointer that the function found is where it has pushed it.
func (o *orc) caller(s, g state) (state, bool) {
	fn := o.function(s.at())
	b := o.before(g.pc, 5)
	if fn == 0 || o.rewritten(s.pc) != nil || len(b) < 5 || b[0] != 0xe8 || g.pc+uint64(int32(o.k.dump.Header.Order.Uint32(b[1:]))) != fn {
		return g, false
	}
	g.by, g.fp = ByCallSite, s.fp
	if n := o.pushed(fn); n > 0 {
		if fp, err := o.k.pointer(g.sp - 8 - uint64(8*n)); err == nil {
			g.fp = fp
		}
	}
	return g, true
}

// function is where the function of an address is entered; the compiler puts parts that
// are seldom run elsewhere.
func (o *orc) function(addr uint64) uint64 {
	sym, _, err := o.find(addr)
	if err != nil {
		return 0
	}
	name, part := strings.CutSuffix(sym.Name, ".cold")
	if !part {
		return sym.Addr
	}
	for whole := range o.table.Named(name) {
		if whole.Module == sym.Module {
			return whole.Addr
		}
	}
	return 0
}

// pushed reads how many registers the function at fn has pushed with rbp.
func (o *orc) pushed(fn uint64) int {
	const enough = 48
	return pushes(o.before(fn+enough, enough))
}

// pushes is how many registers a function has pushed with rbp, the first thing that it does
// behind ENDBR64 and what the function tracer makes of the call to __fentry__. 0 means that
// it does not begin by pushing rbp.
//
//	50+r     PUSH r        41 50+r  PUSH r8…r15
func pushes(b []byte) int {
	const rbp = 0x55
	b = trimPrefix(b, 4, "\xf3\x0f\x1e\xfa")
	b = trimPrefix(b, 5, "\x0f\x1f\x44\x00\x00", "\xe8")
	for n := 1; len(b) > 1; n++ {
		switch {
		case b[0] == rbp:
			return n
		case b[0]&^7 == 0x50:
			b = b[1:]
		case b[0] == 0x41 && b[1]&^7 == 0x50:
			b = b[2:]
		default:
			return 0
		}
	}
	return 0
}

// trimPrefix takes an instruction of n bytes off when it begins like one of those.
func trimPrefix(b []byte, n int, begins ...string) []byte {
	for _, p := range begins {
		if len(b) >= n && strings.HasPrefix(string(b), p) {
			return b[n:]
		}
	}
	return b
}
