package stacks

import (
	"strconv"
	"time"

	"github.com/google/pprof/profile"

	"github.com/kautopsy/kautopsy/kernel"
)

// Profile makes a pprof profile of stacks: a sample a task, with value 1 and the labels
// state, comm, cpu and pid. Locations have the addresses of the dump's kernel, that of a call
// for where it returns to, so a pprof that has its vmlinux can show lines.
func Profile(list []kernel.TaskStack, about kernel.System) *profile.Profile {
	p := &profile.Profile{
		SampleType:        []*profile.ValueType{{Type: "tasks", Unit: "count"}},
		DefaultSampleType: "tasks",
		Comments:          []string{"kernel " + about.Release + " of host " + about.Nodename},
	}
	if !about.Date.IsZero() {
		p.TimeNanos = about.Date.UnixNano()
	}
	if about.Uptime > 0 {
		p.DurationNanos = int64(about.Uptime / time.Nanosecond)
	}
	b := &builder{p: p, functions: map[string]*profile.Function{}, locations: map[place]*profile.Location{}, mappings: map[string]*profile.Mapping{}, buildID: about.BuildID}
	for _, ts := range list {
		p.Sample = append(p.Sample, b.sample(ts))
	}
	return p
}

// place is what makes two frames one location.
type place struct {
	addr uint64
	name string
}

type builder struct {
	p         *profile.Profile
	functions map[string]*profile.Function
	locations map[place]*profile.Location
	mappings  map[string]*profile.Mapping // by module, "" is the kernel
	buildID   string
}

func (b *builder) sample(ts kernel.TaskStack) *profile.Sample {
	s := &profile.Sample{Value: []int64{1}, Label: map[string][]string{
		"state": {ts.Task.State.String()},
		"comm":  {ts.Task.Comm},
		"cpu":   {strconv.Itoa(ts.Task.CPU)},
	}, NumLabel: map[string][]int64{"pid": {int64(ts.Task.PID)}}}
	for _, f := range ts.Stack.Frames {
		s.Location = append(s.Location, b.location(f.Code(), frameName(f), f.Symbol.Module))
	}
	if len(s.Location) == 0 {
		s.Location = []*profile.Location{b.location(0, noFrames(ts.Task), "")}
	}
	return s
}

func (b *builder) location(addr uint64, name, module string) *profile.Location {
	at := place{addr, name}
	if l := b.locations[at]; l != nil {
		return l
	}
	f := b.functions[name]
	if f == nil {
		f = &profile.Function{ID: uint64(len(b.functions) + 1), Name: name, SystemName: name}
		b.functions[name] = f
		b.p.Function = append(b.p.Function, f)
	}
	l := &profile.Location{ID: uint64(len(b.locations) + 1), Address: addr, Mapping: b.mapping(module, addr), Line: []profile.Line{{Function: f}}}
	b.locations[at] = l
	b.p.Location = append(b.p.Location, l)
	return l
}

// mapping is the kernel's or a module's, wide enough for the addresses seen in it.
func (b *builder) mapping(module string, addr uint64) *profile.Mapping {
	m := b.mappings[module]
	if m == nil {
		m = &profile.Mapping{ID: uint64(len(b.mappings) + 1), File: "[kernel.kallsyms]", HasFunctions: true}
		if module == "" {
			m.BuildID = b.buildID
		} else {
			m.File = "[" + module + "]"
		}
		b.mappings[module] = m
		b.p.Mapping = append(b.p.Mapping, m)
	}
	if addr != 0 {
		if m.Start == 0 || addr < m.Start {
			m.Start = addr
		}
		m.Limit = max(m.Limit, addr+1)
	}
	return m
}
