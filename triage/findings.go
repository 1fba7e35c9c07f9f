package triage

import (
	"fmt"

	"github.com/kautopsy/kautopsy/oops"
)

const maxOthers = 10 // other reports of the same boot that are listed

// findings are what the text shows beside the verdict: first the evidence for it.
func findings(log *oops.Log, o *oops.Oops, v *Verdict, p *poisoned) []Finding {
	out := []Finding{verdictFinding(o, v)}
	if p != nil {
		out = append(out, poisonFinding(o, p))
	} else if f := textFinding(o); f != nil {
		out = append(out, *f)
	}
	if v.Confidence == Guess && v.Culprit != nil {
		out = append(out, Finding{
			ID: "unreliable-trace", Title: "the trace has no reliable frame to blame", Severity: Note,
			Confidence: Sure, Evidence: []Evidence{}, Advice: "unwind the stack from the dump",
		})
	}
	return append(out, others(log, o)...)
}

// verdictFinding is the evidence for the verdict: the headline's line and where the processor stood.
func verdictFinding(o *oops.Oops, v *Verdict) Finding {
	f := Finding{
		ID: string(v.Kind), Title: v.Headline, Severity: Cause, Confidence: v.Confidence,
		Evidence: []Evidence{},
	}
	if o.Title != "" {
		f.Evidence = append(f.Evidence, Evidence{Kind: "log", Text: o.Title, Line: o.TitleLine})
	}
	if o.PC != nil {
		f.Evidence = append(f.Evidence, Evidence{
			Kind: "register", Text: "PC " + o.PC.String(), Address: o.PC.Address, Symbol: o.PC.Symbol,
		})
	}
	if v.Culprit != nil {
		f.Evidence = append(f.Evidence, Evidence{
			Kind: "frame", Text: place(v.Culprit) + ": " + v.Culprit.Why, Symbol: v.Culprit.Function,
		})
	}
	if o.Panic != "" {
		f.Evidence = append(f.Evidence, Evidence{Kind: "log", Text: "Kernel panic - not syncing: " + o.Panic})
	}
	return f
}

func poisonFinding(o *oops.Oops, p *poisoned) Finding {
	e := Evidence{Kind: "log", Text: fmt.Sprintf("faulting address %s", p.value), Line: o.TitleLine, Address: &p.value}
	if p.register != "" {
		e = Evidence{Kind: "register", Text: fmt.Sprintf("%s %s", p.register, p.value), Address: &p.value}
	}
	return Finding{
		ID: "poison", Title: fmt.Sprintf("%s: %s", p.name, p.says), Severity: Cause, Confidence: Likely,
		Evidence: []Evidence{e},
	}
}

// textFinding reports a faulting address made of characters.
func textFinding(o *oops.Oops) *Finding {
	if o.Kind != oops.GeneralProtection || o.Fault == nil || o.Fault.Address == nil {
		return nil
	}
	a := *o.Fault.Address
	if !printable(uint64(a)) {
		return nil
	}
	var text [8]byte
	for i := range text {
		text[i] = byte(a >> (8 * i)) // in memory order, of a little-endian machine
	}
	return &Finding{
		ID: "text-as-pointer", Title: fmt.Sprintf("the pointer is text, %q: memory was overwritten by a string", text),
		Severity: Cause, Confidence: Guess,
		Evidence: []Evidence{{Kind: "log", Text: "faulting address " + a.String(), Line: o.TitleLine, Address: &a}},
	}
}

// others lists the other reports of the same boot.
func others(log *oops.Log, o *oops.Oops) []Finding {
	var out []Finding
	for _, x := range log.Oopses[1:] {
		if x.Boot != o.Boot || o.Kind == oops.HungTask && x.Kind == o.Kind && x.FirstLine > o.FirstLine {
			continue
		}
		when := "earlier-report"
		if x.FirstLine > o.FirstLine {
			when = "later-report"
		}
		f := Finding{
			ID: when, Title: x.Title, Severity: Note, Confidence: Sure,
			Evidence: []Evidence{{Kind: "log", Text: x.Title, Line: x.TitleLine}},
		}
		if x.Fatal() {
			f.Severity = Trace
		}
		if out = append(out, f); len(out) == maxOthers {
			break
		}
	}
	return out
}

// missing says what the text does not hold although a report of its kind should.
func missing(o *oops.Oops) []Missing {
	out := []Missing{}
	if o.Kind != oops.HungTask && o.Comm == "" && o.CPU == nil {
		out = append(out, Missing{
			What: "the line that names CPU and task", Why: "not in the text", Cost: "task and CPU are not known",
		})
	}
	if o.Kind != oops.HungTask && len(o.Trace) == 0 {
		out = append(out, Missing{
			What: "the call trace", Why: "not in the text", Cost: "callers are not known",
		})
	}
	return out
}
