package oops

import "strings"

// cpuLine reads the line that names CPU, task and kernel:
//
//	CPU: 0 UID: 0 PID: 307 Comm: collect Kdump: loaded Tainted: G        W          6.12.107 #1  Debian 6.12.107-1
//	CPU: 1 PID: 5437 Comm: bash Not tainted 3.10.0-514.el7.x86_64 #1
//	Pid: 1412, comm: bash Not tainted 2.6.32-431.17.1.el6.x86_64 #1 VENDOR PRODUCT/BOARD
func (st *State) cpuLine(s string) {
	head, comm, named := strings.Cut(s, "omm: ")
	if v := intAfter(head, "CPU: "); v != nil {
		st.CPU = v
	}
	if !named {
		return
	}
	st.UID = intAfter(head, "UID: ")
	old := strings.HasPrefix(head, "Pid: ")
	if st.PID = intAfter(head, "PID: "); old {
		st.PID = intAfter(head, "Pid: ")
	}
	end := taintIndex(comm)
	st.Comm = strings.TrimRight(comm[:end], " ")
	st.kernelLine(comm[end:])
	if old {
		// 2.6 has the machine behind the first word of the version.
		st.Version, st.Hardware = word(st.Version)
		st.Hardware = strings.TrimSpace(st.Hardware)
	}
}

// taintIndex is where the command's name ends in "collect Kdump: loaded Tainted: ...". A name may have blanks.
func taintIndex(s string) int {
	end := len(s)
	for _, mark := range []string{" Kdump: loaded", " Tainted: ", " Not tainted"} {
		if i := strings.Index(s, mark); i >= 0 && i < end {
			end = i
		}
	}
	return end
}

// kernelLine reads "Kdump: loaded Tainted: G   W   6.12.107+deb13-amd64 #1  Debian 6.12.107-1".
func (st *State) kernelLine(s string) {
	s = strings.TrimLeft(s, " ")
	if after, ok := strings.CutPrefix(s, "Kdump: loaded"); ok {
		st.Kdump = true
		s = strings.TrimLeft(after, " ")
	}
	tainted := false
	if after, ok := strings.CutPrefix(s, "Not tainted"); ok {
		s = after
	} else if after, ok := strings.CutPrefix(s, "Tainted: "); ok {
		// RHEL 6 pads the letters with dashes.
		n := run(after, func(c byte) bool { return c == ' ' || c == '-' || c-'A' < 26 })
		st.Taint = strings.NewReplacer(" ", "", "-", "").Replace(after[:n])
		tainted = true
		s = after[n:]
	} else {
		return
	}
	st.Tainted = &tainted
	release, version := word(s)
	st.Release, st.Version = release, strings.TrimSpace(version)
	if i := strings.LastIndexByte(st.Version, ' '); i >= 0 && isBuildID(st.Version[i+1:]) {
		st.Version, st.BuildID = strings.TrimSpace(st.Version[:i]), st.Version[i+1:]
	}
}

// isBuildID tells a build ID: the kernel prints 20 bytes, zeros where it knows none.
func isBuildID(s string) bool {
	return len(s) == 40 && run(s, isHex) == len(s) && strings.Trim(s, "0") != ""
}

// taintWords are the taint letters with the kernel's own descriptions (6.11: taint_flags[].desc). G says that
// P is not set.
var taintWords = map[byte]string{
	'P': "PROPRIETARY_MODULE", 'F': "FORCED_MODULE", 'S': "CPU_OUT_OF_SPEC", 'R': "FORCED_RMMOD",
	'M': "MACHINE_CHECK", 'B': "BAD_PAGE", 'U': "USER", 'D': "DIE", 'A': "OVERRIDDEN_ACPI_TABLE", 'W': "WARN",
	'C': "CRAP", 'I': "FIRMWARE_WORKAROUND", 'O': "OOT_MODULE", 'E': "UNSIGNED_MODULE", 'L': "SOFTLOCKUP",
	'K': "LIVEPATCH", 'X': "AUX", 'T': "RANDSTRUCT", 'N': "TEST", 'J': "FWCTL",
}

// TaintWords spells the letters of [State.Taint] out. G, which says that all modules are free, has no word;
// a letter that is not known stands for itself.
func TaintWords(letters string) []string {
	var words []string
	for i := range len(letters) {
		w, known := taintWords[letters[i]]
		switch {
		case known:
			words = append(words, w)
		case letters[i] != 'G':
			words = append(words, letters[i:i+1])
		}
	}
	return words
}

// moduleLine reads what follows "Modules linked in:". Words behind "[last unloaded:" are no loaded modules.
func (st *State) moduleLine(s string) {
	s, _, _ = strings.Cut(s, "[last unloaded")
	s, _, _ = strings.Cut(s, "Unloaded tainted modules:")
	for _, w := range strings.Fields(s) {
		name, flags, _ := strings.Cut(w, "(")
		st.Modules = append(st.Modules, Module{Name: name, Flags: strings.TrimSuffix(flags, ")")})
	}
}

// workLine reads "crashkit_wq ck_null_work [crashkit]" behind "Workqueue:".
func (st *State) workLine(s string) {
	w := strings.Fields(s)
	if len(w) == 0 {
		return
	}
	st.Workqueue = &Work{Queue: w[0]}
	if len(w) > 1 {
		st.Workqueue.Function = w[1]
	}
	if len(w) > 2 {
		st.Workqueue.Module = strings.Trim(w[2], "[]")
	}
}
