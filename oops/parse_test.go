package oops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestLogs reads whole logs of crashed machines.
func TestLogs(t *testing.T) {
	for _, c := range []struct {
		file                  string
		kind                  Kind
		release, comm, pc     string
		pid, reports, boots   int
		line, frames, unsures int
	}{
		{"5.10-console.txt", SysRq, "5.10.0-32-amd64", "collect", "", 241, 1, 2, 366, 12, 1},
		{"6.12-dmesg.txt", SysRq, "6.12.107+deb13-amd64", "collect", "", 307, 2, 1, 449, 23, 12},
		{"6.12-callers.txt", SysRq, "6.12.107+deb13-amd64", "collect", "", 307, 2, 1, 449, 23, 12},
		{"7.2-console.txt", SysRq, "7.2.13+deb14-amd64", "collect", "", 264, 1, 2, 421, 21, 9},
		{"tiny-6.12-dmesg.txt", NullDereference, "6.12.107-tiny", "kworker/0:1", "ck_null_work+0x7/0x1f [crashkit]", 10, 1, 1, 185, 8, 3},
		{"arm64-6.1-console.txt", SysRq, "6.1.0-50-arm64", "collect", "", 203, 1, 1, 250, 18, 0},
	} {
		t.Run(c.file, func(t *testing.T) {
			log, err := Parse(readFile(t, filepath.Join("testdata/logs", c.file)))
			if err != nil {
				t.Fatal(err)
			}
			o := log.Oopses[0]
			if o.Kind != c.kind || o.Release != c.release || o.Comm != c.comm || frame(o.PC) != c.pc || *o.PID != c.pid {
				t.Errorf("%s %s %s %s %d", o.Kind, o.Release, o.Comm, frame(o.PC), *o.PID)
			}
			if len(log.Oopses) != c.reports || len(log.Boots) != c.boots || o.TitleLine != c.line || o.Boot != 0 {
				t.Errorf("%d reports, %d boots, line %d, boot %d", len(log.Oopses), len(log.Boots), o.TitleLine, o.Boot)
			}
			unsure := 0
			for _, f := range o.Trace {
				if f.Unsure {
					unsure++
				}
			}
			if len(o.Trace) != c.frames || unsure != c.unsures {
				t.Errorf("%d frames, %d unsure", len(o.Trace), unsure)
			}
			if c.boots == 2 && !log.Boots[1].Capture {
				t.Error("the second boot is not known as a capture kernel")
			}
		})
	}
}

// TestSeeds reads texts that quote logs: articles with prose, code blocks and sessions of crash.
func TestSeeds(t *testing.T) {
	type report struct {
		kind              Kind
		line              int
		comm, release, pc string
	}
	for file, want := range map[string][]report{
		"000": {
			{SysRq, 255, "", "", "sysrq_handle_crash+0x16/0x20"},
			{NMI, 293, "", "", ""},
		},
		"001": {
			{DivideError, 82, "", "", ""},
			{NullDereference, 83, "", "", "tcp_enter_loss+0x1d3/0x23b"},
		},
		"002": nil,
		"003": {
			{NullDereference, 335, "sh", "2.6.32-358.23.2.ali1233.el5.x86_64", "netoops+0x125/0x2a0"},
			{SysRq, 64, "", "", "sysrq_handle_crash+0x16/0x20"},
			{NMI, 174, "swapper/0", "3.10.0-327.xxxxx.x86_64", ""},
			{SysRq, 267, "bash", "2.6.32-431.17.1.el6.x86_64", "sysrq_handle_crash+0x16"}, // crash's words
		},
		"004": {{SysRq, 235, "bash", "3.10.0-514.el7.x86_64", ""}}, // crash's words
	} {
		names, _ := filepath.Glob("../testdata/seeds/" + file + "_*.txt")
		if len(names) != 1 {
			t.Fatal(file, names)
		}
		log, err := Parse(readFile(t, names[0]))
		if (len(want) == 0) != errors.Is(err, ErrNoReport) {
			t.Error(file, err)
		}
		var got []report
		for _, o := range log.Oopses {
			got = append(got, report{o.Kind, o.TitleLine, o.Comm, o.Release, frame(o.PC)})
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n%+v, want\n%+v", file, got, want)
		}
	}
}

// TestNetoops holds every fact of a report whose addresses a web page has eaten, and that nothing is added.
func TestNetoops(t *testing.T) {
	names, _ := filepath.Glob("../testdata/seeds/003_*.txt")
	log, err := Parse(readFile(t, names[0]))
	if err != nil {
		t.Fatal(err)
	}
	o := log.Oopses[0]
	if o.CPU != nil || o.UID != nil || len(o.Registers) != 0 || o.Code != "" || len(o.Modules) != 0 || o.PC.Address != nil {
		t.Errorf("facts that are not in the text: %+v", o.State)
	}
	if *o.PID != 21606 || o.Taint != "GF" || !*o.Tainted || o.Hardware != "Inspur SA5212M4/YZMB-00370-109" || o.Version != "#1" {
		t.Errorf("%+v", o.State)
	}
	if o.Number != 1 || *o.Fault.Address != 8 || *o.Fault.Code != 0 || o.Fault.Access != "read" {
		t.Errorf("number %d, %+v", o.Number, o.Fault)
	}
	if *o.Time != 29201245781675*time.Microsecond || o.Stamp != "29201245.781675" {
		t.Errorf("time %v, stamp %q", o.Time, o.Stamp)
	}
	if len(o.Trace) != 23 || o.Trace[0].String() != "kmsg_dump+0x113/0x180" || !o.Trace[18].Unsure || o.Trace[17].Unsure {
		t.Errorf("trace %v", o.Trace)
	}
}

// TestForms gives every way to write one log down the same reading.
func TestForms(t *testing.T) {
	plain := string(readFile(t, "testdata/logs/tiny-6.12-dmesg.txt"))
	lines := strings.Split(strings.TrimSuffix(plain, "\n"), "\n")
	each := func(form func(string) string) string {
		out := make([]string, len(lines))
		for i, l := range lines {
			out[i] = form(l)
		}
		return strings.Join(out, "\n")
	}
	bare := func(l string) string { return l[strings.Index(l, "] ")+2:] }
	want := essence(t, []byte(plain))
	for name, text := range map[string]string{
		"CRLF":     strings.ReplaceAll(plain, "\n", "\r\n"),
		"level":    each(func(l string) string { return "<4>" + l }),
		"caller":   each(func(l string) string { return strings.Replace(l, "] ", "] [   T10] ", 1) }),
		"syslog":   each(func(l string) string { return "Nov 21 13:19:06 host kernel: " + l }),
		"journal":  each(func(l string) string { return "Nov 21 13:19:06 host kernel: " + bare(l) }),
		"logger":   each(func(l string) string { return "2026-11-21 13:19:06    " + l }),
		"ctime":    each(func(l string) string { return "[Sat Nov 21 13:19:06 2026] " + bare(l) }),
		"bare":     each(bare),
		"quoted":   each(func(l string) string { return "> " + l }),
		"colour":   each(func(l string) string { return "\x1b[33m" + l + "\x1b[0m" }),
		"NULs":     each(func(l string) string { return "\x00" + l }),
		"markdown": "text\n```\n" + plain + "```\nmore text\n",
	} {
		if got := essence(t, []byte(text)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// essence is what a log says, without what differs between the ways to write it: lines, stamps, callers.
func essence(t *testing.T, text []byte) string {
	t.Helper()
	log, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	o := *log.Oopses[0]
	o.Time, o.Stamp, o.Caller = nil, "", ""
	o.FirstLine, o.TitleLine, o.LastLine = 0, 0, 0
	b, err := json.MarshalIndent(&o, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTruncated cuts a log at every line of the report, and in the midst of each.
func TestTruncated(t *testing.T) {
	whole := readFile(t, "testdata/logs/tiny-6.12-dmesg.txt")
	start := bytes.Index(whole, []byte("BUG: kernel NULL"))
	for end := start; end < len(whole); end += 7 {
		log, err := Parse(whole[:end])
		if err == nil {
			check(t, whole[:end], log)
		}
		if end > start+len("BUG: kernel NULL pointer dereference") && err != nil {
			t.Fatalf("cut at %d: %v", end, err)
		}
	}
	for begin := start; begin < len(whole); begin += 7 {
		log, _ := Parse(whole[begin:])
		check(t, whole[begin:], log)
	}
}

// TestBounds holds time and memory for texts that nobody would write by mistake.
func TestBounds(t *testing.T) {
	const size = 1 << 20
	for name, unit := range map[string]string{
		"one line":     "x",
		"NULs":         "\x00",
		"newlines":     "\n",
		"escapes":      "\x1b[",
		"headlines":    "BUG: x\n",
		"cuts":         "------------[ cut here ]------------\n",
		"panics":       "Kernel panic - not syncing: x\n",
		"callers":      "[    1.000000] [    T%d] BUG: x\n",
		"boots":        "Linux version 1\n",
		"frames":       "Call Trace:\n f+0x1/0x2\n",
		"hung tasks":   "INFO: task a:1 blocked for more than 1 seconds.\n",
		"modules":      "Modules linked in: a b c d e f g h\n a b\n",
		"requests":     "sysrq: Show State\n",
		"backtraces":   "INFO: rcu_x stall\nNMI backtrace for cpu 1\n",
		"back in time": "[99999.000000] BUG: x\n[    0.000000] BUG: y\n",
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for i := 0; b.Len() < size; i++ {
				if strings.Contains(unit, "%d") {
					fmt.Fprintf(&b, unit, i)
				} else {
					b.WriteString(unit)
				}
			}
			text := []byte(b.String())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			log, _ := Parse(text)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 8*size {
				t.Errorf("%d bytes kept of %d", kept, size)
			}
			check(t, text, log)
		})
	}
}

// check holds what is true of every Log.
func check(t *testing.T, text []byte, log *Log) {
	t.Helper()
	if want := bytes.Count(text, []byte{'\n'}); log.Lines != want && log.Lines != want+1 {
		t.Errorf("%d lines, text has %d line ends", log.Lines, want)
	}
	if len(log.Boots) == 0 || log.Boots[0].FirstLine != 1 {
		t.Fatal("no first boot")
	}
	for _, o := range log.Oopses {
		checkOops(t, text, log, o)
	}
	for _, r := range log.Requests {
		if r.FirstLine < 1 || r.LastLine < r.FirstLine || r.LastLine > log.Lines {
			t.Errorf("request lines %d-%d", r.FirstLine, r.LastLine)
		}
	}
}

func checkOops(t *testing.T, text []byte, log *Log, o *Oops) {
	t.Helper()
	if o.Kind == "" || o.Title == "" || o.Boot < 0 || o.Boot >= len(log.Boots) {
		t.Errorf("kind %q, title %q, boot %d", o.Kind, o.Title, o.Boot)
	}
	if o.FirstLine < 1 || o.TitleLine < o.FirstLine || o.LastLine < o.TitleLine || o.LastLine > log.Lines {
		t.Errorf("lines %d, %d, %d of %d", o.FirstLine, o.TitleLine, o.LastLine, log.Lines)
	}
	states := append([]State{o.State}, o.Backtraces...)
	if o.PanicState != nil {
		states = append(states, *o.PanicState)
	}
	clean := len(text) < 1<<16 && bytes.IndexByte(text, 0) < 0 && bytes.IndexByte(text, 0x1b) < 0
	for _, st := range states {
		for _, f := range append(st.Trace, st.frames()...) {
			if f.Symbol == "" && f.Address == nil {
				t.Errorf("a frame of nothing: %+v", f)
			}
			if clean && !bytes.Contains(text, []byte(f.Symbol)) {
				t.Errorf("symbol %q is not in the text", f.Symbol)
			}
			_ = f.String()
		}
		for _, m := range st.Modules {
			if clean && !bytes.Contains(text, []byte(m.Name)) {
				t.Errorf("module %q is not in the text", m.Name)
			}
		}
	}
	if clean && !bytes.Contains(text, []byte(o.Title)) {
		t.Errorf("title %q is not in the text", o.Title)
	}
}

// frames are the instruction pointers of a state.
func (st *State) frames() []Frame {
	var out []Frame
	for _, f := range []*Frame{st.PC, st.LR} {
		if f != nil {
			out = append(out, *f)
		}
	}
	return out
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/wordings/*.txt", "testdata/logs/tiny*.txt", "../testdata/seeds/*.txt"} {
		names, _ := filepath.Glob(pattern)
		for _, n := range names {
			b := readFile(f, n)
			for _, section := range bytes.Split(b, []byte("\n### ")) {
				f.Add(section)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		log, err := Parse(text)
		if (err != nil) != (len(log.Oopses) == 0) {
			t.Errorf("%d reports and %v", len(log.Oopses), err)
		}
		check(t, text, log)
		if _, err := json.Marshal(log); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkParse reads a long log of a busy machine: one crash at the end of much that is none, and SysRq output
// that must be read as closely as a report.
func BenchmarkParse(b *testing.B) {
	quiet := readFile(b, "testdata/logs/tiny-6.12-dmesg.txt")
	crash := bytes.Index(quiet, []byte("[    7.904460] BUG"))
	boot := quiet[bytes.IndexByte(quiet, '\n')+1 : crash]
	for name, text := range map[string][]byte{
		"log":     append(bytes.Repeat(boot, 16<<20/len(boot)), quiet[crash:]...),
		"reports": bytes.Repeat(quiet[crash:], 4<<20/len(quiet[crash:])),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if log, err := Parse(text); err != nil || log.Oopses[0].Kind != NullDereference {
					b.Fatal(err)
				}
			}
		})
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
