package kernel

import (
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

const (
	// trialSteps is how many frames behind a guess are walked to see whether it leads to
	// the end of the stack, and maxTrials how many in one scan.
	trialSteps = 128
	maxTrials  = 4096
)

// scan goes on where nothing says what the caller of s is, because of why. It looks at each
// word between s and the end of its stack for a return address from which the unwind tables
// lead to the end of the stack. One whose call goes to the function of s is that of its
// caller: functions that the kernel's build leaves out of the tables, like __crash_kexec,
// come so. Any other is very likely, but a guess. If none leads on, each is a guess, and
// the walk is over.
func (w *stackWalk) scan(s state, why error) state {
	if w.scans++; w.scans > maxScans {
		w.fail(fmt.Errorf("%w: more than %d gaps: %w", ErrStack, maxScans, phys.ErrLimit))
		return s
	}
	guesses, err := w.guesses(s.sp)
	trials := maxTrials
	for _, g := range guesses {
		if c, ok := w.u.caller(s, g); ok && w.leads(c, &trials) {
			return c
		}
	}
	if len(guesses) == 0 && err != nil { // the stack itself is not in the dump: why says less
		w.because(err)
	}
	w.because(why)
	for _, g := range guesses {
		if w.leads(g, &trials) {
			return g
		}
	}
	for _, g := range guesses {
		w.stack.Frames = append(w.stack.Frames, w.u.code.frame(g))
		w.stack.states = append(w.stack.states, g)
	}
	if err != nil {
		w.because(err)
	}
	w.done = true
	return s
}

// guesses are the words of the stack from sp on that can be return addresses. The error is
// why the rest of the stack was not seen.
func (w *stackWalk) guesses(sp uint64) (out []state, err error) {
	k := w.u.code.k
	sp = (sp + 7) &^ 7
	buf := make([]byte, (sp|(stackBytes-1))+1-sp)
	n, err := k.ReadVirt(buf, sp)
	for off := 0; off+8 <= n; off += 8 {
		pc := k.dump.Header.Order.Uint64(buf[off:])
		if pc = k.spc.Strip(pc); w.u.code.executable(pc-1) && w.u.called(pc) {
			out = append(out, state{pc: pc, sp: sp + uint64(off) + 8, by: ByScan})
		}
	}
	return out, err
}

// leads tells whether the way from s comes without a guess to the end of a stack, or to the
// registers of interrupted code.
func (w *stackWalk) leads(s state, trials *int) bool {
	trial := stackWalk{u: w.u}
	for range trialSteps {
		if *trials--; *trials < 0 {
			return false
		}
		h, err := w.u.step(s)
		if err != nil || h.next.by == ByFramePointer || trial.progress(s, h) != nil {
			return false
		}
		if h.done() || h.entry != nil && w.u.code.executable(h.entry.PC()) {
			return true
		}
		s = h.next
	}
	return false
}
