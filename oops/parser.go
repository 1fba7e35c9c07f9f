package oops

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

const (
	maxReports  = 2048             // of one text; beyond it those in the middle are left out
	maxBoots    = 4096             // likewise; the last one then takes the rest
	maxRequests = 4096             // SysRq outputs; further ones are left out
	maxThreads  = 64               // callers whose reports are open at the same time
	maxFrames   = 4096             // of one trace
	maxForeign  = 40               // lines of others in the midst of a report, before it counts as ended
	maxListed   = 4096             // the same for reports with long lists: memory, tasks
	maxSilence  = 30 * time.Second // between two lines of one report
	maxBackstep = 5 * time.Second  // time stamps of CPUs differ by less; a larger step back is a new boot
	noteLines   = 40               // from a note or fault headline to the die line, arm64 prints some 20 between
	cutLines    = 16               // from "cut here" to the headline
)

// parser walks over the lines of a text. printk's callers may interleave, so each has its thread.
type parser struct {
	log      Log
	threads  []*thread
	names    map[string]string // interned symbols and modules, which repeat endlessly
	lastTime time.Duration
	timed    bool
	latest   *Oops   // the report opened last
	ring     []*Oops // the latest reports, once there are many
	crash    session // a crash(8) session, as far as it was seen
}

func newParser() *parser {
	return &parser{names: make(map[string]string), log: Log{Boots: []Boot{{FirstLine: 1}}}}
}

// read splits text into lines and takes each.
func (p *parser) read(text []byte) {
	var s splitter
	var l line
	for len(text) > 0 {
		raw := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			raw, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		p.log.Lines++
		l = s.split(raw, p.log.Lines)
		p.line(&l)
	}
}

func (p *parser) line(l *line) {
	p.boot(l)
	if l.fence {
		p.closeAll()
		return
	}
	if h, ok := matchAll(l.msg); ok {
		p.thread(l.caller, true).headline(h, l)
		return
	}
	p.sessionLine(l)
	if len(p.threads) == 0 {
		return
	}
	if t := p.thread(l.caller, false); t != nil {
		t.body(l)
	} else if p.latest != nil && bytes.HasPrefix(l.msg, []byte(nmiBacktrace)) {
		// Another CPU answers the report that is being printed.
		t := p.thread(l.caller, true)
		t.oops, t.last = p.latest, l.number
		t.body(l)
	}
}

// boot notices where another kernel's text begins: its banner, or time stamps that start over.
func (p *parser) boot(l *line) {
	b := &p.log.Boots[len(p.log.Boots)-1]
	back := l.timed && p.timed && l.time+maxBackstep < p.lastTime
	banner := bytes.HasPrefix(l.msg, []byte("Linux version "))
	if (back || banner && b.Banner != "") && len(p.log.Boots) < maxBoots {
		p.closeAll()
		p.latest = nil
		p.log.Boots = append(p.log.Boots, Boot{FirstLine: l.number})
		b = &p.log.Boots[len(p.log.Boots)-1]
	}
	if l.timed {
		p.lastTime, p.timed = l.time, true
	}
	switch {
	case banner:
		b.Banner = string(l.msg)
		b.Release, _ = word(strings.TrimPrefix(b.Banner, "Linux version "))
	case b.CommandLine == "":
		b.commandLine(l.msg)
	}
}

// commandLine reads "Command line: ..." and, where that is lost or not printed, "Kernel command line: ...".
func (b *Boot) commandLine(msg []byte) {
	for _, begin := range []string{"Command line: ", "Kernel command line: "} {
		if after, ok := bytes.CutPrefix(msg, []byte(begin)); ok {
			b.CommandLine = string(after)
			b.Capture = bytes.Contains(after, []byte("elfcorehdr="))
		}
	}
}

// thread finds the caller's thread, or makes it. The oldest gives way when there are too many.
func (p *parser) thread(caller []byte, create bool) *thread {
	for _, t := range p.threads {
		if t.caller == string(caller) {
			return t
		}
	}
	if !create {
		return nil
	}
	if len(p.threads) == maxThreads {
		p.threads[0].close()
		p.threads = slices.Delete(p.threads, 0, 1)
	}
	t := &thread{p: p, caller: string(caller)}
	p.threads = append(p.threads, t)
	return t
}

func (p *parser) closeAll() {
	for _, t := range p.threads {
		t.close()
	}
	p.threads = p.threads[:0]
}

// add keeps a report. Of too many the first half and the latest stay: the latest in a ring.
func (p *parser) add(o *Oops) {
	p.latest = o
	switch {
	case len(p.log.Oopses) < maxReports/2:
		p.log.Oopses = append(p.log.Oopses, o)
	case len(p.ring) < maxReports/2:
		p.ring = append(p.ring, o)
	default:
		p.ring[p.log.Omitted%len(p.ring)] = o
		p.log.Omitted++
	}
}

// reports are all that were kept, in the order of the text.
func (p *parser) reports() []*Oops {
	if len(p.ring) == 0 {
		return p.log.Oopses
	}
	oldest := p.log.Omitted % len(p.ring)
	return slices.Concat(p.log.Oopses, p.ring[oldest:], p.ring[:oldest])
}

// intern returns s as a string of its own, so that a report does not keep the line alive.
func (p *parser) intern(s string) string {
	if known, ok := p.names[s]; ok {
		return known
	}
	s = strings.Clone(s)
	p.names[s] = s
	return s
}

// finish settles what could be settled only with all lines read.
func (p *parser) finish() *Log {
	p.closeAll()
	kept := p.reports()
	for _, o := range kept {
		o.refine()
	}
	p.log.Oopses = order(joinPanics(kept), p.log.Boots)
	return &p.log
}
