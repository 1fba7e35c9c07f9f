package decode

import "github.com/kautopsy/kautopsy/oops"

// Log puts source lines to all places of the reports in a text, as Text puts them behind those
// that it finds. How many there are and how many have lines it tells likewise.
func (d *Decoder) Log(log *oops.Log) (places, told int, err error) {
	var why reasons
	frame := func(f *oops.Frame, exact bool) {
		if f == nil || f.Symbol == "" || f.Context == oops.InUser {
			return
		}
		places++
		source, err := d.Source(Place{f.Symbol, f.Offset, f.Size, f.Module, f.BuildID, 0, exact || f.Interrupted})
		if why.add(err); len(source) > 0 {
			told++
		}
		for _, s := range source {
			o := oops.Source{File: s.File, Line: s.Line}
			if s.Inlined {
				o.Function = s.Function
			}
			f.Source = append(f.Source, o)
		}
	}
	trace := func(list []oops.Frame) {
		for i := range list {
			frame(&list[i], false)
		}
	}
	state := func(s *oops.State) {
		if s != nil {
			frame(s.PC, true)
			frame(s.LR, false)
			trace(s.Trace)
		}
	}
	for _, o := range log.Oopses {
		state(&o.State)
		state(o.PanicState)
		for i := range o.Backtraces {
			state(&o.Backtraces[i])
		}
		for _, t := range o.Tasks {
			trace(t.Trace)
		}
		for _, r := range o.Related {
			trace(r.Trace)
		}
	}
	return places, told, why.join()
}
