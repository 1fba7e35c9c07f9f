package crashshell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/guesttest"
)

// These tests drive the crash that is installed, on the small guest that the repository holds,
// or on KAUTOPSY_VMCORE with KAUTOPSY_VMLINUX. KAUTOPSY_SOAK=1 makes them long; as "200,20,10" it
// says how many commands, time-outs and kills, too.

// realConfig is for the installed crash. Old releases do not read all of the small guest's
// kernel, so that what they are known to get wrong is asked, too: it is framed like all else.
func realConfig(t *testing.T) Config {
	t.Helper()
	if testing.Short() {
		t.Skip("starts crash, which takes seconds, in short mode")
	}
	p, err := Find(t.Context(), "")
	if errors.Is(err, ErrNoCrash) {
		t.Skip("no crash program is installed")
	}
	if err != nil {
		t.Fatal(err)
	}
	if p.Target != "x86_64" {
		t.Skipf("this crash reads dumps of %s", p.Target)
	}
	cfg := Config{Crash: p.Path, VMLinux: os.Getenv("KAUTOPSY_VMLINUX"), Timeout: patience, StartTime: patience, Spoiled: true}
	if realMode != "" {
		cfg.Modes = []Mode{realMode}
	}
	if cfg.VMLinux == "" {
		cfg.VMLinux, cfg.Dump = guesttest.VMLinux(t), []string{"../testdata/tiny/vmcore.zlib"}
		return cfg
	}
	cfg.Dump = []string{os.Getenv("KAUTOPSY_VMCORE")}
	return cfg
}

// realMode is the one in which a test before this one saw crash start; "" for the first.
var realMode Mode

// long tells whether the tests may take an hour.
func long() bool { return os.Getenv("KAUTOPSY_SOAK") != "" }

func startReal(t *testing.T) *Session {
	t.Helper()
	s, err := Start(t.Context(), realConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	realMode = s.Mode
	t.Logf("crash %s, %s", s.Program.Version, s.Mode)
	return s
}

// realCommands are 60 of all kinds: short and long, tables and structures, errors too.
var realCommands = []string{
	"sys", "sys -t", "bt", "bt -a", "bt -sx", "bt -l", "bt -f", "bt -FF", "bt -t", "bt -e", "bt -r", "bt 1", "foreach bt",
	"ps", "ps -a 1", "ps -c 1", "ps -p 1", "ps -t 1", "ps -S", "ps -k", "ps -r 1", "ps -A", "log", "log -t", "log -d", "log -m",
	"mod", "mod -t", "files 1", "mount", "net", "irq", "dev", "kmem -i", "kmem -s", "kmem -v", "kmem -z", "kmem -V", "runq",
	"timer", "swap", "vm 1", "sig 1", "struct list_head", "struct task_struct.pid,comm", "union thread_union", "sym schedule",
	"sym nosuchsymbol", "dis schedule 10", "dis -l schedule 4", "p jiffies", "p init_task.comm", "rd linux_banner 8", "eval 255",
	"whatis struct list_head", "ascii 6b61", "vtop init_task", "struct nosuchstruct", "p nosuchsymbol", "rd 0",
}

// quick are those that are run alone, too, when there is little time.
var quick = []string{"p jiffies", "dis schedule 10"}

// TestRealFraming: 60 commands in one session answer as the same command alone does, in a crash
// that reads it from a file and is asked nothing else. Only some of them alone unless there is
// time.
func TestRealFraming(t *testing.T) {
	s := startReal(t)
	if len(realCommands) != 60 {
		t.Fatalf("%d commands", len(realCommands))
	}
	silence := alone(t, s, "")
	equal, compared, answered := 0, 0, 0
	for _, c := range realCommands {
		if !right(s, c) {
			continue // a crash that is too old for the kernel may take forever over it
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience/4)
		a, err := s.Run(ctx, c)
		cancel()
		var failed *CommandError
		switch {
		case errors.Is(err, ErrTimeout) && s.Mode != Normal:
			t.Logf("%s: %v", c, err)
			continue
		case err != nil && !errors.As(err, &failed):
			t.Fatalf("%s: %v", c, err)
		}
		answered++
		if !long() && !slices.Contains(quick, c) {
			continue
		}
		compared++
		raw, ok := bytes.CutPrefix(alone(t, s, c), silence)
		if want := newAnswer(c, raw); !ok || !bytes.Equal(unnumbered(a.Output), unnumbered(want.Output)) {
			t.Errorf("%s: in the session\n%.2000s\nalone\n%.2000s", c, a.Output, want.Output)
			continue
		}
		equal++
	}
	t.Logf("%d commands in one session, %d of %d equal to the same alone", answered, equal, compared)
	if answered < 15 || compared < len(quick) {
		t.Error("that is not enough")
	}
	if again, err := s.Run(t.Context(), "eval 255"); err != nil || !bytes.Contains(again.Output, []byte("hexadecimal: ff")) {
		t.Errorf("at the end: %q %v", again.Output, err)
	}
}

// history is the number that gdb gives each value it prints, counted through a session.
var history = regexp.MustCompile(`(?m)^\$\d+ = `)

func unnumbered(output []byte) []byte { return history.ReplaceAll(output, []byte("$ = ")) }

// alone runs crash for one command.
func alone(t *testing.T, s *Session, command string) []byte {
	t.Helper()
	input := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(input, []byte(command+"\nq\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(input)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	args := append(s.Mode.options(), "--kaslr", "auto")
	cmd := exec.CommandContext(t.Context(), s.Program.Path, append(args, s.names()...)...)
	cmd.Args[0], cmd.Dir, cmd.Env, cmd.Stdin = "crash", s.dir, environment(s.dir), f
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s alone: %v", command, err)
	}
	return out
}

// TestRealTyped: what crash says rightly is what the guest itself recorded.
func TestRealTyped(t *testing.T) {
	s := startReal(t)
	truth := os.Getenv("KAUTOPSY_TRUTH")
	if truth == "" {
		truth = "../testdata/tiny/truth"
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(truth, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if right(s, "mod") {
		realModules(t, s, read("modules"))
	}
	if right(s, "ps") {
		realProcesses(t, s, read("stat.txt"))
	}
	if v, err := s.Symbols(t.Context(), "schedule"); err != nil || len(v.List) == 0 || v.List[0].Name != "schedule" {
		t.Errorf("sym schedule: %+v %v", v, err)
	}
	if v, err := s.Disassembly(t.Context(), "schedule", "10"); err != nil || len(v.List) != 10 {
		t.Errorf("dis schedule 10: %d, %v", len(v.List), err)
	}
	if s.Mode != Normal {
		return
	}
	if v, err := s.Struct(t.Context(), "list_head"); err != nil || v.Size != 16 || len(v.Members) != 2 {
		t.Errorf("struct list_head: %+v %v", v, err)
	}
}

// right tells whether nothing is known to spoil a command.
func right(s *Session, command string) bool {
	_, bad := spoiled(command, s.Doubts)
	return !bad
}

func realModules(t *testing.T, s *Session, truth string) {
	t.Helper()
	mods, err := s.Modules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]string{}
	for _, m := range mods.List {
		sizes[m.Name] = strconv.FormatUint(m.Size, 10)
	}
	lines := strings.Split(strings.TrimSpace(truth), "\n")
	for _, line := range lines {
		if w := strings.Fields(line); sizes[w[0]] != w[1] {
			t.Errorf("module %s: crash says %q bytes, /proc/modules %s", w[0], sizes[w[0]], w[1])
		}
	}
	t.Logf("%d modules as in /proc/modules", len(lines))
}

// realProcesses looks for each process of /proc/PID/stat. A name of more than 15 characters is
// /proc's own; those that are not there any more have ended between the record and the crash.
func realProcesses(t *testing.T, s *Session, truth string) {
	t.Helper()
	ps, err := s.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byPID := map[int]Process{}
	for _, p := range ps.List {
		byPID[p.PID] = p
	}
	equal, ended := 0, 0
	for line := range strings.Lines(truth) {
		end := strings.LastIndexByte(line, ')')
		number, comm, _ := strings.Cut(line[:end], " (")
		pid, _ := strconv.Atoi(number)
		parent := strings.Fields(line[end+1:])[1]
		switch p, ok := byPID[pid]; {
		case !ok:
			ended++
		case !strings.HasPrefix(comm, p.Comm) && !p.Kernel || p.PPID == nil || strconv.Itoa(*p.PPID) != parent:
			t.Errorf("PID %d: crash has %+v, /proc %s", pid, p, line)
		default:
			equal++
		}
	}
	t.Logf("%d processes as in /proc, %d ended since", equal, ended)
	if equal < 50 || ended > 10 {
		t.Error("that is not enough")
	}
}

// TestRealWays: nothing of what reaches a shell or a file gets through, and a .crashrc and a
// .gdbinit in HOME and in the working directory are not run.
func TestRealWays(t *testing.T) {
	cfg := realConfig(t)
	home := t.TempDir()
	harm := filepath.Join(home, "harm")
	for name, text := range map[string]string{".crashrc": "!touch " + harm + "\n", ".gdbinit": "shell touch " + harm + "\n"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range cfg.Dump {
		abs, err := filepath.Abs(d)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Dump[i] = abs
	}
	t.Setenv("HOME", home)
	t.Chdir(home)
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	more := []string{"!touch " + harm, "bt | tee " + harm, "log > " + harm, "gdb shell touch " + harm, "shel touch " + harm, "bt\n!touch " + harm}
	for _, c := range append(more, ways...) {
		if _, err := s.Run(t.Context(), c); !errors.Is(err, ErrRefused) {
			t.Errorf("%.60q: %v", c, err)
		}
	}
	if _, err := s.Run(t.Context(), "eval 1"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(harm); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("harm was done: %v", err)
	}
}

// TestRealParentKilled is TestParentKilled with the installed crash.
func TestRealParentKilled(t *testing.T) {
	if os.Getenv("KAUTOPSY_TEST_PARENT") != "" {
		beParent(t, "sym -l")
	}
	parentKilled(t, realConfig(t))
}

// TestRealSoak: commands, forced time-outs and kills of the child, one after the other in any
// order. make soak has 1,000, 100 and 50, and holds each call to its deadline + 2 s.
func TestRealSoak(t *testing.T) {
	cfg := realConfig(t)
	commands, timeouts, kills, late := 40, 2, 1, lateness
	if long() {
		commands, timeouts, kills, late = 1000, 100, 50, 2*time.Second
		if n, _ := fmt.Sscanf(os.Getenv("KAUTOPSY_SOAK"), "%d,%d,%d", &commands, &timeouts, &kills); n == 1 {
			commands = 1000
		}
	}
	var acts []string
	for i, n := range []int{commands, timeouts, kills} {
		for range n {
			acts = append(acts, []string{"command", "timeout", "kill"}[i])
		}
	}
	rand.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
	k := &soaker{t: t, late: late}
	leavesNothing(t, cfg, func(s *Session) {
		t.Logf("crash %s, %s", s.Program.Version, s.Mode)
		begin := time.Now()
		for i, act := range acts {
			if long() && i%50 == 0 { // who runs it for an hour wants to know where it is
				t.Logf("%s: %d of %d done; %d descriptors, %d goroutines; the latest call %s", time.Since(begin).Round(time.Second),
					i, len(acts), openFiles(t), runtime.NumGoroutine(), k.worst)
			}
			switch act {
			case "command":
				k.command(s)
			case "timeout":
				k.timeout(s)
			case "kill":
				k.kill(s)
			}
		}
	})
	t.Logf("%d commands, %d time-outs, %d kills; the latest call was %s behind its deadline", commands, timeouts, kills, k.worst)
}

type soaker struct {
	t     *testing.T
	late  time.Duration
	worst time.Duration
}

// command asks what only this one can be answered with.
func (k *soaker) command(s *Session) {
	n := rand.Uint32()
	a, err := s.Run(k.t.Context(), fmt.Sprintf("eval %d", n))
	if err != nil || !strings.Contains(string(a.Output), fmt.Sprintf("hexadecimal: %x ", n)) {
		k.t.Errorf("eval %d: %q %v", n, a.Output, err)
	}
}

// timeout runs a long command with a deadline that it cannot keep, once crash is ready for it.
func (k *soaker) timeout(s *Session) {
	if err := k.tooShort(s); err != nil {
		k.t.Error(err)
	}
}

func (k *soaker) tooShort(s *Session) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	c, err := s.child(k.t.Context())
	if err != nil {
		return err
	}
	d := time.Duration(1+rand.IntN(5)) * time.Millisecond
	ctx, cancel := context.WithTimeout(k.t.Context(), d)
	defer cancel()
	begin := time.Now()
	_, err = s.exchange(ctx, c, "sym -l")
	k.worst = max(k.worst, time.Since(begin)-d)
	if over := time.Since(begin) - d; over > k.late {
		return fmt.Errorf("returned %s behind its deadline", over)
	}
	if !errors.Is(err, ErrTimeout) {
		return fmt.Errorf("sym -l in %s: %w", d, err)
	}
	return nil
}

// kill ends the child, idle or in a command.
func (k *soaker) kill(s *Session) {
	s.turn <- struct{}{}
	c, err := s.child(k.t.Context())
	<-s.turn
	if err != nil {
		k.t.Error(err)
		return
	}
	time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, func() { _ = c.cmd.Process.Kill() })
	for c.alive() {
		if _, err := s.Run(k.t.Context(), "sym -l"); err != nil && !errors.Is(err, ErrDied) {
			k.t.Error(err)
		}
	}
}
