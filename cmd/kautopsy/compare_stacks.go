package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/crashshell"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// compareStacks holds foreach bt against kautopsy's stacks: the code addresses of the frames.
func (c *comparison) compareStacks() {
	if c.unwinder == nil {
		return
	}
	bt, err := c.session.AllBacktraces(c.ctx)
	c.failed("stacks", "foreach bt", err)
	c.broke = err != nil
	theirs := make(map[uint64]crashshell.Backtrace)
	for _, b := range bt.List {
		theirs[uint64(b.Task)] = b
	}
	equal := 0
	for _, t := range c.tasks {
		b, there := theirs[t.Addr]
		if !there {
			continue // told among the tasks
		}
		s, err := c.unwinder.Stack(c.ctx, t)
		if err != nil {
			s.Why = err
		}
		if c.sameStack(t, s, b) {
			equal++
		}
	}
	c.row("stacks", "", len(c.tasks), len(bt.List), equal)
}

// crashFrame is a place in crash's chain: a frame, or where an exception came in.
type crashFrame struct {
	pc     uint64
	symbol string
	level  int
}

func chainOf(b crashshell.Backtrace) (list []crashFrame) {
	for _, f := range b.Frames {
		list = append(list, crashFrame{uint64(f.PC), f.Symbol, f.Level})
		if e := f.Exception; e != nil && e.Where != "" {
			if pc, ok := e.Register("RIP"); ok {
				list = append(list, crashFrame{uint64(pc), e.Where, f.Level})
			} else if pc, ok := e.Register("PC"); ok {
				list = append(list, crashFrame{uint64(pc), e.Where, f.Level})
			}
		}
	}
	return list
}

// sameStack compares one stack, and files what is not the same.
func (c *comparison) sameStack(t kernel.Task, s kernel.Stack, b crashshell.Backtrace) bool {
	if len(b.Frames) == 0 && len(s.Frames) > 0 && t.State.String() == "ZO" {
		d := c.group("stacks", "stack", crashWrong, "of zombies crash does not show")
		d.Because = "crash shows none of a zombie, whose stack the kernel keeps until its parent has asked for it"
		d.example("PID %d %s", t.PID, t.Comm)
		return false
	}
	chain := c.below(s, chainOf(b))
	extra, lacking := c.unlike(s.Frames, chain)
	who := fmt.Sprintf("PID %d %s", t.PID, printable(t.Comm))
	switch {
	case len(extra)+len(lacking) == 0:
		return true
	case s.Complete:
		c.falseFrames(who, chain, extra)
		for _, f := range lacking {
			what, why := "crash leaves out", ""
			switch {
			case c.broke:
				what, why = "crash does not have", "its answer broke off"
			case slices.ContainsFunc(lacking, endless):
				what, why = "crash does not have", c.known("left out")
			}
			d := c.group("stacks", "frame", crashWrong, what)
			d.Because = why
			d.Checked = []string{"kautopsy's chain goes by the kernel's own tables from end to end"}
			d.example("%s: %s", who, f)
		}
	case len(b.Frames) == 0 || phys.Damage(s.Why) || errors.Is(s.Why, phys.ErrExcluded):
		d := c.group("stacks", "stack", bothPartial, "neither follows to the end")
		d.example("%s: %v", who, s.Why)
	default:
		d := c.group("stacks", "stack", kautopsyWrong, "crash follows farther")
		d.example("%s: %v", who, s.Why)
	}
	return false
}

// endless tells whether a frame's call is the last thing in its function: what is called does not
// return.
func endless(f kernel.Frame) bool { return f.Symbol.Size > 0 && f.Offset == f.Symbol.Size }

// below is crash's chain from where kautopsy's begins. crash begins at machine_kexec, kautopsy
// where the registers were saved, which is above it or in the code that an exception
// interrupted: what the dying kernel did behind that is no difference.
func (c *comparison) below(s kernel.Stack, chain []crashFrame) []crashFrame {
	switch {
	case s.Start == nil:
		return chain
	case len(s.Frames) == 0 && s.Complete: // it was in user mode
		return nil
	case len(s.Frames) == 0:
		return chain
	}
	first := s.Frames[0].Symbol.Addr
	for i, f := range chain {
		if c.function(f.pc) != first {
			continue
		}
		rest := slices.Clone(chain[i:])
		rest[0].pc = s.Frames[0].Addr // a call of the same function, later in it
		return rest
	}
	return chain
}

// function is where the function begins that an address is in, 0 if that is not known.
func (c *comparison) function(pc uint64) uint64 {
	table, _ := c.k.AllSymbols(c.ctx) // with an error it is there all the same, or nil
	if table == nil {
		return 0
	}
	s, _, err := table.At(pc - 1)
	if err != nil {
		return 0
	}
	return s.Addr
}

// unlike are the frames that only one of the chains has: what is left beside the longest
// common sequence of their addresses.
func (c *comparison) unlike(ours []kernel.Frame, theirs []crashFrame) (extra []int, lacking []kernel.Frame) {
	ours, theirs = ours[:min(len(ours), maxChain)], theirs[:min(len(theirs), maxChain)]
	same := make([][]int, len(ours)+1)
	for i := range same {
		same[i] = make([]int, len(theirs)+1)
	}
	for i := len(ours) - 1; i >= 0; i-- {
		for j := len(theirs) - 1; j >= 0; j-- {
			same[i][j] = max(same[i+1][j], same[i][j+1])
			if ours[i].Addr == theirs[j].pc {
				same[i][j] = max(same[i][j], same[i+1][j+1]+1)
			}
		}
	}
	i, j := 0, 0
	for i < len(ours) || j < len(theirs) {
		switch {
		case i < len(ours) && j < len(theirs) && ours[i].Addr == theirs[j].pc:
			i, j = i+1, j+1
		case j == len(theirs) || i < len(ours) && same[i+1][j] >= same[i][j+1]:
			lacking = append(lacking, ours[i])
			i++
		default:
			extra = append(extra, j)
			j++
		}
	}
	return extra, lacking
}

// maxChain is how many frames of a stack are compared.
const maxChain = 512

// falseFrames files frames that crash has and a stack that was followed from end to end has not.
func (c *comparison) falseFrames(who string, chain []crashFrame, extra []int) {
	for _, j := range extra {
		d := c.group("stacks", "frame", crashWrong, "of crash's are false")
		d.Because = c.known("stacks")
		if len(d.Checked) == 0 {
			d.Checked = []string{"kautopsy's chain goes by the kernel's own tables from end to end without them", ""}
		}
		if j > 0 && c.calls(chain[j].pc, chain[j-1].pc) == callsOther {
			d.refuted++
		}
		d.Checked[1] = fmt.Sprintf("%d of them return to a call of another function than the one above them", d.refuted)
		d.example("%s: #%d %s", who, chain[j].level, printable(chain[j].symbol))
	}
}

type callKind int

const (
	callsUnknown callKind = iota // through a pointer, or not read
	callsIt
	callsOther
)

// calls tells whether the call before a return address goes to the function that an address is
// in (Intel SDM volume 2, CALL: E8 and the distance). A function that was entered by a jump from
// the called one counts as another: that alone proves nothing.
func (c *comparison) calls(ret, callee uint64) callKind {
	var b [5]byte
	if c.k.Machine() != "x86_64" {
		return callsUnknown
	}
	if _, err := c.k.ReadVirt(b[:], ret-5); err != nil || b[0] != 0xe8 {
		return callsUnknown
	}
	target := ret + uint64(int64(int32(binary.LittleEndian.Uint32(b[1:]))))
	if c.function(target+1) == c.function(callee) {
		return callsIt
	}
	return callsOther
}
