package oops

import "strings"

// addressMarks stand before the faulting address in a headline. An address that the kernel itself only guesses
// ("maybe for address") is not taken.
var addressMarks = []string{
	"non-canonical address ", "violation for address ", "for address: ", "dereference, address: ",
	"at virtual address ", " on read at ", " on write at ", " at address ", "dereference at ", "request at ",
}

// faultAddress finds the address in the headline of a memory fault.
func faultAddress(title string) *Address {
	for _, m := range addressMarks {
		_, after, found := strings.Cut(title, m)
		if !found {
			continue
		}
		after = strings.TrimLeft(after, " ")
		if strings.HasPrefix(after, "(null)") {
			return new(Address)
		}
		if v, _, ok := cutHex(after); ok {
			a := Address(v)
			return &a
		}
	}
	return nil
}

// setAccess takes the access from headlines that tell it: ppc64's, and those of a jump.
func (f *Fault) setAccess(title string) {
	switch {
	case strings.Contains(title, " on read at "):
		f.Access = "read"
	case strings.Contains(title, " on write at "):
		f.Access = "write"
	case strings.Contains(title, "instruction fetch"), strings.Contains(title, "to execute "),
		strings.Contains(title, "kernel execut"):
		f.Access = "execute"
	}
}

func (o *Oops) fault() *Fault {
	if o.Fault == nil {
		o.Fault = &Fault{}
	}
	return o.Fault
}

// pageFaultLine reads "#PF: supervisor write access in kernel mode" and "#PF: error_code(0x0002) - ...".
func (o *Oops) pageFaultLine(s string) {
	f := o.fault()
	f.Notes = append(f.Notes, s)
	switch {
	case strings.Contains(s, "error_code("):
		f.setCode(hexAfter(s, "error_code("))
	case strings.Contains(s, "instruction fetch"):
		f.Access = "execute"
	case strings.Contains(s, "write access"):
		f.Access = "write"
	case strings.Contains(s, "read access"):
		f.Access = "read"
	}
}

// setCode takes the error code of an x86 page fault, which also tells the access: bit 1 is a write, bit 4 an
// instruction fetch.
func (f *Fault) setCode(code *Address) {
	if code == nil {
		return
	}
	f.Code = code
	if f.Access != "" {
		return
	}
	switch {
	case *code&0x10 != 0:
		f.Access = "execute"
	case *code&2 != 0:
		f.Access = "write"
	default:
		f.Access = "read"
	}
}

// setESR takes arm64's exception syndrome: class in bits 31..26, WnR (a write) in bit 6.
func (f *Fault) setESR(esr *Address) {
	if esr == nil {
		return
	}
	f.Code = esr
	switch *esr >> 26 & 0x3f {
	case 0x20, 0x21: // instruction abort
		f.Access = "execute"
	case 0x24, 0x25: // data abort
		f.Access = "read"
		if *esr&0x40 != 0 {
			f.Access = "write"
		}
	}
}

// dieLine reads the oops counter, and the error code where the headline has one:
//
//	Oops: Oops: 0002 [#1] SMP PTI
//	Internal error: Oops: 0000000096000005 [#1] PREEMPT SMP
func (o *Oops) dieLine(s string, number int) {
	n := intAfter(s, "[#")
	if n == nil {
		return
	}
	o.Number, o.dieAt = *n, number
	_, text, found := cutLast(s, "Oops: ")
	v, rest, ok := cutHex(text)
	if !found || !ok || strings.HasPrefix(rest, " ilc:") { // s390x: an interruption code
		return
	}
	code := Address(v)
	if strings.HasPrefix(s, "Internal error: ") {
		o.fault().setESR(&code)
	} else {
		o.fault().setCode(&code)
	}
}

// cutLast is [strings.Cut] at the last occurrence of sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
