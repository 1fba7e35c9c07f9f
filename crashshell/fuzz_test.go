package crashshell

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzTyped: whatever an answer holds, parsing it ends, is JSON, and keeps what it does not
// understand.
func FuzzTyped(f *testing.F) {
	files, err := filepath.Glob("testdata/*.0.2/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no recordings: %v", err)
	}
	for _, name := range files {
		out, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(out[:min(len(out), 4096)])
	}
	for _, machine := range machines {
		for _, e := range machineSession(f, machine) {
			f.Add(e.Output[:min(len(e.Output), 4096)])
		}
	}
	f.Add([]byte("PID: 0 TASK: 1 CPU: 0 COMMAND: \"x\"\n RIP: 0 (\n [LR : (\n CPU 1 X STACK:\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		for _, command := range []string{"sys", "bt", "ps -a", "log", "mod", "foreach bt", "kmem -i", "irq", "files", "mount", "net", "struct x", "dis x", "sym x"} {
			a := newAnswer(command, out)
			v, err := a.Typed()
			if _, err := json.Marshal(v); err != nil {
				t.Errorf("%s: %v", command, err)
			}
			if err != nil && len(rests(v)) == 0 {
				t.Errorf("%s: %v, but nothing is left over", command, err)
			}
		}
	})
}

// FuzzTranscript: no line with text is lost but the prompts', the fences' and the pager's.
func FuzzTranscript(f *testing.F) {
	f.Add(seed(f, "003_1023ec93f6968571.txt"))
	f.Add(seed(f, "004_c0966fabc94a5eed.txt"))
	f.Add([]byte("crash> bt\n#0 x\n-- MORE --\ncrash>\n```\ntext"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.ContainsAny(string(text), "\r\a\x1b") {
			for _, e := range ParseTranscript(text) {
				_, _ = e.Typed()
			}
			return
		}
		kept := 0
		for _, e := range ParseTranscript(text) {
			_, _ = e.Typed()
			kept += len(e.Output)
		}
		want := 0
		for line := range strings.Lines(string(text)) {
			plain := strings.TrimRight(line, " \n")
			if strings.TrimSpace(line) != "" && !promptLine.MatchString(plain) && !fenceLine.MatchString(plain) && !pagerLine.MatchString(plain) {
				want += len(line)
			}
		}
		if kept < want {
			t.Errorf("kept %d bytes of %d", kept, want)
		}
	})
}
