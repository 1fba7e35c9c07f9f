package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/triage"
)

func sysCommand() command {
	return command{
		name: "sys", group: "The system", args: "DUMP",
		short: "the banner: release, date, load, tasks, memory, panic",
		long: `crash's banner as far as symbols and the log tell it; what is not known is left
out and said on stderr. -i shows the texts by which the firmware names the
machine (DMI), with its serial numbers; -t what taints the kernel.`,
		example: "kautopsy sys /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			df := addDumpFlags(fs)
			dmi := fs.BoolP("dmi", "i", false, "the machine as its firmware names it")
			taint := fs.BoolP("taint", "t", false, "what taints the kernel")
			asJSON := fs.Bool("json", false, "print JSON")
			return func(env *environment, args []string) error {
				k, done, err := df.openAlone(env, args)
				if err != nil {
					return err
				}
				defer done()
				switch {
				case *dmi && *taint:
					return usagef("either -i or -t")
				case *dmi:
					return runDMI(env, k, *asJSON)
				case *taint:
					return runTaint(env, k, *asJSON)
				}
				return runSys(env, k, *asJSON)
			}
		},
	}
}

func runSys(env *environment, k *kernel.Kernel, asJSON bool) error {
	s := k.System(env.ctx)
	if _, err := k.Info(); s.Release == "" && err != nil {
		return fmt.Errorf("no kernel found: %w", err)
	}
	rep, err := triage.Run(env.ctx, k)
	if err != nil {
		return err
	}
	if s.Tasks == 0 {
		countTasks(env, k, &s)
	}
	env.partial = env.partial || kernel.Damaged(s.Missing)
	if asJSON {
		return printJSON(env.out, sysDocument(k, s, rep))
	}
	warnMissing(env, s.Missing)
	for _, row := range sysRows(k, s, rep) {
		if row[1] != "" {
			fmt.Fprintf(env.out, "%12s: %s\n", row[0], printable(row[1]))
		}
	}
	return nil
}

// countTasks counts the tasks of a kernel that does not name its counter of them.
func countTasks(env *environment, k *kernel.Kernel, s *kernel.System) {
	n := 0
	for t, err := range k.Tasks(env.ctx) {
		if err != nil {
			return
		}
		if t.Addr != 0 {
			n++
		}
	}
	s.Tasks = n
	s.Missing = slices.DeleteFunc(s.Missing, func(m kernel.Missing) bool { return m.What == "tasks" })
}

// warnedMissing is how many missing things are told with their reason; JSON has them all.
const warnedMissing = 2

// warnMissing tells on stderr what an answer lacks: one cause often costs many things.
func warnMissing(env *environment, missing []kernel.Missing) {
	for i, m := range missing {
		if i == warnedMissing {
			var rest []string
			for _, m := range missing[i:] {
				rest = append(rest, m.What)
			}
			env.warn("and %s (--json says why)", strings.Join(rest, ", "))
			return
		}
		env.warn("%s: %s", m.What, m.Why)
	}
}

// sysRows is the banner in crash's words and order.
func sysRows(k *kernel.Kernel, s kernel.System, rep *triage.Report) [][2]string {
	file := k.Dump().Name()
	if k.Dump().Header.Incomplete || k.Dump().Complete() != nil {
		file += "  [INCOMPLETE]"
	}
	rows := [][2]string{
		{"DUMPFILE", file},
		{"CPUS", number(s.CPUs)},
		{"DATE", date(s.Date)},
		{"UPTIME", uptime(s.Uptime)},
		{"LOAD AVERAGE", load(s.Load)},
		{"TASKS", number(s.Tasks)},
		{"NODENAME", s.Nodename},
		{"RELEASE", s.Release},
		{"VERSION", s.Version},
		{"MACHINE", machine(s)},
		{"MEMORY", mebibytes(s.Memory)},
	}
	if rep.Verdict.Title != "" {
		rows = append(rows, [2]string{"PANIC", fmt.Sprintf("%q", rep.Verdict.Title)})
	}
	return append(rows, panicRows(rep)...)
}

func panicRows(rep *triage.Report) (rows [][2]string) {
	if t := rep.Verdict.Task; t != nil {
		if t.PID != nil {
			rows = append(rows, [2]string{"PID", number0(*t.PID)})
		}
		if t.Comm != "" {
			rows = append(rows, [2]string{"COMMAND", fmt.Sprintf("%q", t.Comm)})
		}
	}
	if c := rep.Verdict.CPU; c != nil {
		rows = append(rows, [2]string{"CPU", number0(*c)})
	}
	return rows
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return number0(n)
}

func number0(n int) string { return fmt.Sprint(n) }

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("Mon Jan _2 15:04:05 MST 2006")
}

// uptime prints as crash does: "3 days, 02:35:04".
func uptime(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	sec := int(d / time.Second)
	days := ""
	if n := sec / 86400; n > 0 {
		days = fmt.Sprintf("%d days, ", n)
	}
	return fmt.Sprintf("%s%02d:%02d:%02d", days, sec/3600%24, sec/60%60, sec%60)
}

func load(l []float64) string {
	if len(l) != 3 {
		return ""
	}
	return fmt.Sprintf("%.2f, %.2f, %.2f", l[0], l[1], l[2])
}

func machine(s kernel.System) string {
	if s.MHz == 0 {
		return s.Machine
	}
	return fmt.Sprintf("%s  (%d Mhz)", s.Machine, s.MHz)
}

// mebibytes prints memory as crash does: "511.5 MB", "2 GB".
func mebibytes(n uint64) string {
	v, unit := float64(n)/(1<<20), "MB"
	if v >= 1024 {
		v, unit = v/1024, "GB"
	}
	if v == 0 {
		return ""
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + " " + unit
}

// sysDocument is the answer in JSON.
func sysDocument(k *kernel.Kernel, s kernel.System, rep *triage.Report) any {
	type kern struct {
		Release  string `json:"release,omitempty"`
		Version  string `json:"version,omitempty"`
		Machine  string `json:"machine,omitempty"`
		Nodename string `json:"nodename,omitempty"`
		BuildID  string `json:"build_id,omitempty"`
	}
	type panicFact struct {
		Title string `json:"title"`
		Comm  string `json:"comm,omitempty"`
		PID   *int   `json:"pid,omitempty"`
		CPU   *int   `json:"cpu,omitempty"`
	}
	doc := struct {
		Schema  int              `json:"schema"`
		File    string           `json:"file"`
		Kernel  kern             `json:"kernel"`
		CPUs    int              `json:"cpus,omitempty"`
		Date    string           `json:"date,omitempty"`
		Uptime  int64            `json:"uptime_ns,omitempty"`
		Load    []float64        `json:"load,omitempty"`
		Tasks   int              `json:"tasks,omitempty"`
		Memory  uint64           `json:"memory_bytes,omitempty"`
		Machine string           `json:"machine,omitempty"`
		Panic   *panicFact       `json:"panic,omitempty"`
		Missing []kernel.Missing `json:"missing"`
	}{
		Schema: schema, File: filepath.Base(k.Dump().Name()),
		Kernel: kern{s.Release, s.Version, s.Machine, s.Nodename, s.BuildID},
		CPUs:   s.CPUs, Date: rfc3339(s.Date), Uptime: int64(s.Uptime), Load: s.Load, Tasks: s.Tasks,
		Memory: s.Memory, Machine: s.Machine, Missing: append([]kernel.Missing{}, s.Missing...),
	}
	if v := rep.Verdict; v.Title != "" {
		doc.Panic = &panicFact{Title: v.Title, CPU: v.CPU}
		if v.Task != nil {
			doc.Panic.Comm, doc.Panic.PID = v.Task.Comm, v.Task.PID
		}
	}
	return doc
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
