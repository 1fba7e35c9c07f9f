package main

import (
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/sched"
)

type timerFlags struct {
	dump *dumpFlags
	cpus cpuSet
	high bool
	json bool
}

func timerCommand() command {
	return command{
		name: "timer", group: "The system", args: "DUMP",
		short: "timers: when they expire and what they call",
		long: `EXPIRES is in jiffies, TTE what is left until then; a timer that is late has
less than 0. Behind a function that only wakes a task or starts a work stands
which. With -r times are nanoseconds of the clock.`,
		example: "kautopsy timer /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &timerFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.high, "hrtimers", "r", false, "high-resolution timers by clock")
			fs.VarP(&f.cpus, "cpu", "C", "only these `CPUS`: 1, or 0,2-3")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *timerFlags) run(env *environment, args []string) error {
	k, done, err := f.dump.openAlone(env, args)
	if err != nil {
		return err
	}
	defer done()
	if f.high {
		return f.clocks(env, k)
	}
	return f.wheels(env, k)
}

// wheels prints the timer wheels as crash does.
func (f *timerFlags) wheels(env *environment, k *kernel.Kernel) error {
	all, jiffies, err := sched.Timers(env.ctx, k)
	if err != nil {
		return err
	}
	var bases []sched.TimerBase
	lack := lacking{env: env}
	for _, b := range all {
		if f.cpus.has(b.CPU) {
			bases = append(bases, b)
			lack.all(b.Missing)
		}
	}
	if f.json {
		return printJSON(env.out, timerDocument(bases, jiffies, lack.document()))
	}
	lack.tell()
	fmt.Fprintf(env.out, "JIFFIES\n%d\n", jiffies)
	for i, b := range bases {
		if i == 0 || b.CPU != bases[i-1].CPU {
			fmt.Fprintln(env.out)
		}
		printWheel(env.out, b)
	}
	return nil
}

func printWheel(w io.Writer, b sched.TimerBase) {
	fmt.Fprintf(w, "TIMER_BASES[%d][%s]: %x\n", b.CPU, b.Name, b.Addr)
	if len(b.Timers) == 0 {
		fmt.Fprintln(w, "  (none)")
		return
	}
	rows := [][]string{{"EXPIRES", "TTE"}}
	for _, t := range b.Timers {
		rows = append(rows, []string{fmt.Sprint(t.Expires), fmt.Sprint(t.Left)})
	}
	heads := rightAligned(rows)
	fmt.Fprintf(w, "%s  TIMER_LIST        FUNCTION\n", heads[0])
	for i, t := range b.Timers {
		fmt.Fprintf(w, "%s  %016x  %s\n", heads[i+1], t.Addr, timerFunction(t.Function, t.For, t.Running))
	}
}

// rightAligned makes lines of columns as wide as what is in them, two blanks before each.
func rightAligned(rows [][]string) []string {
	var width []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len(cell))
		}
	}
	lines := make([]string, len(rows))
	for n, r := range rows {
		for i, cell := range r {
			lines[n] += fmt.Sprintf("  %*s", width[i], cell)
		}
	}
	return lines
}

// timerFunction spells what a timer calls.
func timerFunction(f sched.Function, what string, running bool) string {
	s := fmt.Sprintf("%016x", f.Addr)
	if f.Name != "" {
		s += fmt.Sprintf("  <%s>", printable(f.String()))
	}
	if what != "" {
		s += "  " + printable(what)
	}
	if running {
		s += "  (runs)"
	}
	return s
}

// clocks prints the high-resolution timers as crash does.
func (f *timerFlags) clocks(env *environment, k *kernel.Kernel) error {
	all, err := sched.HRTimers(env.ctx, k)
	if err != nil {
		return err
	}
	var bases []sched.ClockBase
	lack := lacking{env: env}
	for _, b := range all {
		if f.cpus.has(b.CPU) {
			bases = append(bases, b)
			lack.all(b.Missing)
		}
	}
	if f.json {
		return printJSON(env.out, hrtimerDocument(bases, lack.document()))
	}
	lack.tell()
	for i, b := range bases {
		if i > 0 {
			fmt.Fprintln(env.out)
		}
		printClock(env.out, b)
	}
	return nil
}

func printClock(w io.Writer, b sched.ClockBase) {
	fmt.Fprintf(w, "CPU: %d  CLOCK: %d  HRTIMER_CLOCK_BASE: %x  [%s]\n", b.CPU, b.Index, b.Addr, b.Clock)
	if len(b.Timers) == 0 {
		fmt.Fprintln(w, "  (empty)")
		return
	}
	if b.Now != 0 {
		fmt.Fprintf(w, "  CURRENT %d\n", int64(b.Now))
	}
	rows := [][]string{{"SOFTEXPIRES", "EXPIRES", "TTE"}}
	for _, t := range b.Timers {
		left := "-"
		if b.Now != 0 {
			left = fmt.Sprint(int64(t.Expires - b.Now))
		}
		rows = append(rows, []string{fmt.Sprint(int64(t.Soft)), fmt.Sprint(int64(t.Expires)), left})
	}
	heads := rightAligned(rows)
	fmt.Fprintf(w, "%s  HRTIMER           FUNCTION\n", heads[0])
	for i, t := range b.Timers {
		fmt.Fprintf(w, "%s  %016x  %s\n", heads[i+1], t.Addr, timerFunction(t.Function, t.For, false))
	}
}

// functionRef is code in JSON.
type functionRef struct {
	Address hexAddress `json:"address"`
	Symbol  string     `json:"symbol,omitempty"`
	Offset  uint64     `json:"offset,omitempty"`
	Module  string     `json:"module,omitempty"`
}

func refFunction(f sched.Function) functionRef {
	return functionRef{hexAddress(f.Addr), f.Name, f.Offset, f.Module}
}

type timerBase struct {
	CPU     int         `json:"cpu"`
	Base    string      `json:"base"`
	Address hexAddress  `json:"address"`
	Timers  []timerItem `json:"timers"`
}

type timerItem struct {
	Address  hexAddress  `json:"address"`
	Expires  uint64      `json:"expires_jiffies"`
	Left     int64       `json:"left_jiffies"`
	Function functionRef `json:"function"`
	For      string      `json:"for,omitempty"`
	Running  bool        `json:"running,omitempty"`
}

func timerDocument(bases []sched.TimerBase, jiffies uint64, missing []kernel.Missing) any {
	docs := make([]timerBase, 0, len(bases))
	for _, b := range bases {
		doc := timerBase{b.CPU, b.Name, hexAddress(b.Addr), make([]timerItem, 0, len(b.Timers))}
		for _, t := range b.Timers {
			doc.Timers = append(doc.Timers, timerItem{hexAddress(t.Addr), t.Expires, t.Left, refFunction(t.Function), t.For, t.Running})
		}
		docs = append(docs, doc)
	}
	return struct {
		Schema  int              `json:"schema"`
		Jiffies uint64           `json:"jiffies"`
		Bases   []timerBase      `json:"bases"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, jiffies, docs, missing}
}

type clockBase struct {
	CPU      int         `json:"cpu"`
	Clock    string      `json:"clock"`
	Address  hexAddress  `json:"address"`
	OffsetNS int64       `json:"offset_ns"`
	NowNS    *int64      `json:"now_ns,omitempty"`
	Timers   []clockItem `json:"timers"`
}

type clockItem struct {
	Address  hexAddress  `json:"address"`
	SoftNS   int64       `json:"soft_expires_ns"`
	NS       int64       `json:"expires_ns"`
	Function functionRef `json:"function"`
	For      string      `json:"for,omitempty"`
}

func hrtimerDocument(bases []sched.ClockBase, missing []kernel.Missing) any {
	docs := make([]clockBase, 0, len(bases))
	for _, b := range bases {
		doc := clockBase{CPU: b.CPU, Clock: b.Clock, Address: hexAddress(b.Addr), OffsetNS: int64(b.Offset), Timers: make([]clockItem, 0, len(b.Timers))}
		if now := int64(b.Now); now != 0 {
			doc.NowNS = &now
		}
		for _, t := range b.Timers {
			doc.Timers = append(doc.Timers, clockItem{hexAddress(t.Addr), int64(t.Soft), int64(t.Expires), refFunction(t.Function), t.For})
		}
		docs = append(docs, doc)
	}
	return struct {
		Schema  int              `json:"schema"`
		Clocks  []clockBase      `json:"clocks"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, docs, missing}
}
