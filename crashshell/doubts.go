package crashshell

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Doubt is something known to make answers wrong, while crash goes on and exits with 0.
type Doubt struct {
	Text   string   // what is wrong, in one sentence
	Spoils []string // commands that are not to be trusted; nil: it is good to know

	sign string // words of crash's warnings that it stands for
}

// Explains tells whether the doubt says what a warning of crash's means, of which there may be
// one a task.
func (d Doubt) Explains(warning string) bool {
	return d.sign != "" && d.Spoils != nil && strings.Contains(warning, d.sign)
}

var (
	taskCommands  = []string{"ps", "bt", "foreach", "task", "files", "vm", "sig", "runq", "fuser", "net", "waitq"}
	stackCommands = []string{"bt", "foreach"}
)

// tooOld are the kernels that changed what crash reads, with the first crash that reads them.
// The change logs of crash and runs of 7.2.9, 8.0.2, 8.0.6 and 9.0.2 on kernels 5.10 to 7.2
// say so. Distribution kernels carry changes of later ones back, so a kernel not named here
// is no promise.
var tooOld = []struct {
	kernel, crash Version
	doubt         Doubt
}{
	{Version{5, 10}, Version{7, 2, 9}, Doubt{Text: "the log's form of 5.10", Spoils: []string{"log"}}},
	{Version{6, 0}, Version{8, 0, 0}, Doubt{Text: "debug information in DWARF 5: crash does not start", Spoils: allowed}},
	{Version{6, 2}, Version{8, 0, 3}, Doubt{Text: "per-CPU data and memory areas of 6.2", Spoils: taskCommands}},
	{Version{6, 4}, Version{8, 0, 4}, Doubt{Text: "module memory of 6.4", Spoils: []string{"mod", "sym"}}},
	{Version{6, 5}, Version{8, 0, 4}, Doubt{Text: "struct pid of 6.5: most tasks are not found", Spoils: taskCommands}},
	{Version{6, 9}, Version{8, 0, 6}, Doubt{Text: "stack frames of 6.9", Spoils: stackCommands}},
	{Version{6, 13}, Version{9, 0, 0}, Doubt{Text: "files and run queues of 6.13", Spoils: []string{"files", "runq"}}},
	{Version{7, 1}, Version{9, 0, 3}, Doubt{Text: "stack tables (ORC) of 7.1: stacks run on into stale frames, the date is 1970", Spoils: append([]string{"sys", "swap", "runq", "kmem"}, stackCommands...)}},
}

// Doubts is what is known, before it is started, of this crash on a kernel of this release
// ("6.12.107+deb13-amd64").
func (p Program) Doubts(release string) []Doubt {
	kernel, ok := kernelVersion(release)
	if !ok {
		return nil
	}
	var list []Doubt
	for _, t := range tooOld {
		if !kernel.Before(t.kernel) && p.Version.Before(t.crash) {
			list = append(list, Doubt{
				Text:   "crash " + p.Version.String() + " is too old for kernel " + release + ": " + t.doubt.Text,
				Spoils: t.doubt.Spoils,
			})
		}
	}
	return list
}

var releaseNumbers = regexp.MustCompile(`^(\d+)\.(\d+)(?:\.(\d+))?`)

// kernelVersion is {6, 12, 107} of "6.12.107+deb13-amd64".
func kernelVersion(release string) (v Version, ok bool) {
	m := releaseNumbers.FindStringSubmatch(release)
	if m == nil {
		return v, false
	}
	for i := range v {
		if m[i+1] == "" {
			break
		}
		n, err := strconv.Atoi(m[i+1])
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

// signs are words of crash's start that tell of wrong answers to come.
var signs = []struct {
	words string
	doubt Doubt
}{
	{"not found in PID hash", Doubt{Text: "crash does not find the kernel's tasks: only those on a CPU are listed", Spoils: taskCommands}},
	{"cannot access vmalloc'd module memory", Doubt{Text: "crash cannot read the modules", Spoils: []string{"mod"}}},
	{"may be truncated or incomplete", Doubt{Text: "the dump is cut: crash reads what is left"}},
	{"cannot determine", Doubt{Text: "crash did not find something that it looks for"}},
	{"duplicate task", Doubt{Text: "crash found a task twice: the task list is damaged", Spoils: taskCommands}},
	{"invalid structure", Doubt{Text: "crash does not know a structure of this kernel"}},
}

// warnedOf tells what crash's words at its start make doubtful.
func warnedOf(warnings []string) (list []Doubt) {
	for _, w := range warnings {
		for _, s := range signs {
			known := slices.ContainsFunc(list, func(d Doubt) bool { return strings.HasPrefix(d.Text, s.doubt.Text) })
			if strings.Contains(w, s.words) && !known {
				first, _, _ := strings.Cut(w, "\n")
				list = append(list, Doubt{s.doubt.Text + " (" + strings.TrimSpace(first) + ")", s.doubt.Spoils, s.words})
			}
		}
	}
	return list
}

// spoiled gives the doubt that a command falls under.
func spoiled(command string, doubts []Doubt) (Doubt, bool) {
	words := strings.Fields(command)
	for _, d := range doubts {
		if len(words) > 0 && slices.Contains(d.Spoils, words[0]) {
			return d, true
		}
	}
	return Doubt{}, false
}
