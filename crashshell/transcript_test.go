package crashshell

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seed reads a public text with a recorded session of an old kernel in it.
func seed(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../testdata/seeds", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSeeds reads the sessions on 2.6.32 and 3.10 as they stand in reports.
func TestSeeds(t *testing.T) {
	tests := []struct {
		file, release, command string
		tasks, frames          int
	}{
		{"003_1023ec93f6968571.txt", "2.6.32-431.17.1.el6.x86_64", "bash", 175, 15},
		{"004_c0966fabc94a5eed.txt", "3.10.0-514.el7.x86_64", "bash", 375, 11},
	}
	for _, tt := range tests {
		t.Run(tt.release, func(t *testing.T) {
			var sys *Sys
			var stacks []Backtrace
			var commands []string
			for _, e := range ParseTranscript(seed(t, tt.file)) {
				v, _ := e.Typed()
				switch v := v.(type) {
				case Sys:
					if v.Kernel != "" {
						sys = &v
					}
				case Backtraces:
					stacks = append(stacks, v.List...)
					if r := rests(v); len(r) > 0 {
						t.Errorf("bt: not understood: %q", r)
					}
				case Processes:
					if len(v.List) != 9 || len(v.Rest) > 0 || !v.List[0].Active || v.List[2].Comm != "systemd" {
						t.Errorf("ps: %+v", v)
					}
				}
				if e.Command != "" {
					commands = append(commands, e.Command)
				}
			}
			if sys == nil || sys.Release != tt.release || sys.Tasks != tt.tasks || sys.Command != tt.command || *sys.PID == 0 ||
				sys.Date.IsZero() || sys.Uptime == 0 || !sys.Partial || sys.ThreadInfo == 0 || sys.Panic == "" {
				t.Errorf("banner: %+v", sys)
			}
			if len(stacks) != 1 || len(stacks[0].Frames) != tt.frames {
				t.Fatalf("stacks: %+v", stacks)
			}
			at := tt.frames - 2
			if tt.frames == 15 {
				at = 8
			}
			if e := stacks[0].Frames[at].Exception; e == nil || e.Where != "sysrq_handle_crash+22" {
				t.Errorf("exception below frame %d: %+v", at, e)
			}
			if commands[0] != "bt" {
				t.Errorf("commands: %q", commands)
			}
		})
	}
}

// TestTerminal: what a terminal and the pager add is no part of an answer.
func TestTerminal(t *testing.T) {
	text := "\r\nplease wait... (gathering task table data)\r                                             \r\x1b[?1h\x1b=\r\n" +
		"crash> mod -t\r\nno tainted modules\r\n-- MORE --  forward: <SPACE>, <ENTER> or j  backward: b or k  quit: q\r\n" +
		"crash> \r\ncrash> ps -S\r\n  RU: 4\r\n\x1b[7m(END)\x1b[27m\r\ncrash> q\r\n"
	list := ParseTranscript([]byte(text))
	var got []string
	for _, e := range list {
		got = append(got, e.Command+"="+strings.TrimSpace(string(e.Output)))
	}
	if want := "mod -t=no tainted modules|ps -S=RU: 4|q="; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", strings.Join(got, "|"), want)
	}
}
