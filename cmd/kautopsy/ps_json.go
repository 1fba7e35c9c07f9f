package main

import (
	"github.com/kautopsy/kautopsy/kernel"
)

// psTask is a task in JSON. What stands behind StartNS is there when its flag asks.
type psTask struct {
	Task    hexAddress `json:"task"`
	PID     int        `json:"pid"`
	TGID    int        `json:"tgid"`
	Comm    string     `json:"comm"`
	PPID    int        `json:"ppid"`
	State   string     `json:"state"`
	CPU     int        `json:"cpu"`
	OnCPU   bool       `json:"on_cpu"`
	Kernel  bool       `json:"kernel_thread"`
	RSS     uint64     `json:"rss_bytes"`
	VSZ     uint64     `json:"vsz_bytes"`
	StartNS int64      `json:"start_ns"`

	Args     []string            `json:"arguments,omitempty"`   // -a
	Env      []string            `json:"environment,omitempty"` // -a
	Parents  []int               `json:"parents,omitempty"`     // -p, the nearest first
	Children []int               `json:"children,omitempty"`    // -c
	Threads  []int               `json:"threads,omitempty"`     // -g
	Times    *psTimes            `json:"times,omitempty"`       // -t, -m, -l
	SP       hexAddress          `json:"sp,omitempty"`          // -s
	Limits   map[string][]uint64 `json:"rlimits,omitempty"`     // -r: current and maximum; 2^64-1 is unlimited
}

type psTimes struct {
	BootNS    int64  `json:"start_boottime_ns"`
	UserNS    int64  `json:"user_ns"`
	SystemNS  int64  `json:"system_ns"`
	RunNS     int64  `json:"run_ns"`
	ArrivalNS int64  `json:"last_arrival_ns"`
	SinceNS   *int64 `json:"since_last_arrival_ns,omitempty"`
}

func newPSTask(t kernel.Task) psTask {
	return psTask{
		Task: hexAddress(t.Addr), PID: t.PID, TGID: t.TGID, Comm: t.Comm, PPID: t.PPID, State: t.State.String(),
		CPU: t.CPU, OnCPU: t.OnCPU, Kernel: t.KernelThread, RSS: t.RSS, VSZ: t.VSZ, StartNS: int64(t.Start),
	}
}

func (p *psPrinter) document() any {
	list := make([]psTask, 0, len(p.tasks))
	var kin *kinship
	if p.f.family != [3]bool{} {
		kin = p.kinship()
	}
	clock := p.clocks()
	for _, t := range p.tasks {
		doc := newPSTask(t)
		if p.f.args {
			var err error
			doc.Args, doc.Env, err = t.Arguments()
			p.miss(t, "arguments", err)
		}
		if kin != nil {
			doc.Parents, doc.Children, doc.Threads = kin.pids(t, p.f.family)
		}
		if p.f.times || p.f.recent || p.f.stamp {
			doc.Times = p.timesDocument(t, clock)
		}
		if p.f.stack {
			at, err := t.SP()
			p.miss(t, "stack pointer", err)
			doc.SP = hexAddress(at)
		}
		if p.f.limits {
			doc.Limits = p.limitsDocument(t)
		}
		list = append(list, doc)
	}
	return struct {
		Schema  int              `json:"schema"`
		Tasks   []psTask         `json:"tasks"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, append([]kernel.Missing{}, p.missing...)}
}
