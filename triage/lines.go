package triage

import (
	"context"
	"errors"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// addLines gives the frames and the culprit their source lines, where debug information is
// at hand: of each frame the line in its own function, whatever was inlined there.
func (r *Report) addLines(ctx context.Context, k *kernel.Kernel) {
	l := lineFinder{ctx: ctx, k: k}
	if r.Panic != nil {
		l.frames(r.Panic.Trace)
		l.code(r.Panic.Code)
	}
	for _, b := range r.Blocked {
		l.frames(b.Frames)
	}
	if c := r.Verdict.Culprit; c != nil {
		c.File, c.Line = r.culpritLine(c)
	}
	r.miss("source lines", l.err, "some places in the source are not known")
}

// lineFinder finds lines and keeps the first error.
type lineFinder struct {
	ctx context.Context
	k   *kernel.Kernel
	err error
}

func (l *lineFinder) frames(list []Frame) {
	for i := range list {
		f := &list[i]
		if f.Address == nil || f.Symbol == "" || f.Offset == nil {
			continue
		}
		chain, err := l.k.FrameSource(l.ctx, kernel.Frame{
			Kind: kernel.FrameKind(f.Kind), Addr: uint64(*f.Address), Offset: *f.Offset,
			Symbol: symbols.Symbol{Name: f.Symbol, Module: f.Module},
		})
		if err != nil && !errors.Is(err, dwarf.ErrNoDebug) && l.err == nil {
			l.err = err
		}
		if n := len(chain); n > 0 {
			f.File, f.Line = chain[n-1].File, chain[n-1].Line
		}
	}
}

// code gives instructions the line of the innermost function that they come from.
func (l *lineFinder) code(list []Instruction) {
	for i := range list {
		if chain, _ := l.k.Source(l.ctx, uint64(list[i].Address)); len(chain) > 0 { // frames has met what is damaged
			list[i].File, list[i].Line = chain[0].File, chain[0].Line
		}
	}
}

// culpritLine is the line of the frame that is to blame.
func (r *Report) culpritLine(c *Culprit) (file string, line int) {
	lists := [][]Frame{}
	if r.Panic != nil {
		lists = append(lists, r.Panic.Trace)
	}
	for _, b := range r.Blocked {
		lists = append(lists, b.Frames)
	}
	for _, list := range lists {
		for _, f := range list {
			if f.File != "" && c.Function != "" && Function(f.Symbol) == c.Function && f.Offset != nil && c.Offset != nil && *f.Offset == *c.Offset {
				return f.File, f.Line
			}
		}
	}
	return "", 0
}
