package crashshell

import (
	"errors"
	"strings"
	"testing"
)

// ways to a shell, to a file, to another file's content or out of the session: all that
// crash.md of the lab and crash's source name.
var ways = []string{
	"!id", "! id", "|id", "!", "|", "bt | id", "bt ! id", "bt | sleep 100 &", "log > /tmp/x", "log >> /tmp/x",
	"< /etc/passwd", "bt < /etc/passwd", "vi /etc/passwd", "pwd", "grep x /etc/passwd", "cat /etc/passwd",
	"more /etc/passwd", "less /etc/passwd", "echo $(id)", "ls", "clear", "gdb shell id", "gdb bt", "shell id", "shel echo hi",
	"sy id", "make", "source /tmp/x", "with print pretty on -- shell id", `eval "shell id"`, "cd /", "set logging on",
	"set logging file /tmp/x", "extend /tmp/x.so", "extend -u x", "rd -r /tmp/x ffffffff81000000 8",
	"rd -xr /tmp/x ffffffff81000000 8", "save /tmp/x", "gdb dump memory /tmp/x 0 1", "wr jiffies 0", "alias bt !id",
	"set radix 16", "set scope main", "set error /tmp/x", "set", "repeat 3 bt", "mod -s ext4 /tmp/x.ko", "mod -S /tmp",
	"mod -d ext4", "p $_shell(1)", "p $_gdb_setting_str(1)", "bt; id", "bt && id", "bt `id`", `\bt`, "sys -panic",
	"task_struct ffff8e57972ee600", "unknown", "test", "load x", "q", "quit", "exit", "bt\nid", "bt\rid", "bt\x00id",
	"bt\x1b[A", "", "   ", "# comment", "// comment", "p system(\"id\")", "help | id", "foreach bt | id", "whatis 'x'",
	strings.Repeat("bt ", 480), "bt " + strings.Repeat("x", 1500),
}

func TestCheckRefuses(t *testing.T) {
	for _, c := range ways {
		if err := Check(c); !errors.Is(err, ErrRefused) {
			t.Errorf("%.60q: %v, want ErrRefused", c, err)
		}
	}
}

func TestCheckAllows(t *testing.T) {
	for _, c := range []string{
		"bt", "bt -sx 1", "foreach UN bt", "log -T", "kmem -i", "struct task_struct.pid,comm ffff8e57972ee600",
		"p init_task.comm", "p runqueues:0", "rd -a linux_banner 8", "list task_struct.tasks -s task_struct.pid,comm -h init_task",
		"* task_struct ffff8e57972ee600", "dis -rl schedule+32", "eval 1", "sym -l", "mod", "mod -t", "search -p deadbeef",
		"whatis struct list_head", "sys -t", "tree -t xarray -r inode.i_data ffff8e57972ee600",
	} {
		if err := Check(c); err != nil {
			t.Errorf("%q: %v", c, err)
		}
	}
}

// TestRefusedIsNotSent: a session sends nothing of what Check refuses, and with Unsafe still
// nothing that is more than a line.
func TestRefusedIsNotSent(t *testing.T) {
	s := startFake(t, "")
	for _, c := range ways {
		if _, err := s.Run(t.Context(), c); !errors.Is(err, ErrRefused) {
			t.Errorf("%.60q: %v", c, err)
		}
	}
	cfg := fakeConfig(t, "")
	cfg.Unsafe = true
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []string{"bt\nq", "bt\x00", "bt " + strings.Repeat("x", 1500), ""} {
		if _, err := s.Run(t.Context(), c); !errors.Is(err, ErrRefused) {
			t.Errorf("unsafe: %.60q: %v", c, err)
		}
	}
	if got := run(t, s, "ascii say a | b"); got != "a | b\n" {
		t.Errorf("unsafe: %q", got)
	}
}

func FuzzCheck(f *testing.F) {
	for _, c := range ways {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, c string) {
		if Check(c) == nil && (checkLine(c) != nil || strings.ContainsAny(c, "|!<>;&`$\\\"'\n\r\x00")) {
			t.Errorf("%q passes", c)
		}
	})
}
