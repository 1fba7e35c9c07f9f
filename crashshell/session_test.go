package crashshell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is for what happens at once unless the machine is busy with other things; who waits
// so long has found a fault.
const patience = 2 * time.Minute

// lateness is what a call may take over its deadline: the 2 s of its contract, and what a busy
// machine makes of them.
const lateness = 20 * time.Second

// soon waits until something is so.
func soon(so func() bool) bool {
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(10 * time.Millisecond) {
		if so() {
			return true
		}
	}
	return so()
}

func fakeConfig(t testing.TB, how string) Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Config{Crash: self, Dump: []string{fakeDump(t, how)}, Timeout: patience, StartTime: patience}
}

func startFake(t testing.TB, how string) *Session {
	t.Helper()
	s, err := Start(t.Context(), fakeConfig(t, how))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestTranscripts: answers come through as crash 9.0.2 gave them.
func TestTranscripts(t *testing.T) {
	s := startFake(t, "")
	for _, c := range []string{"bt", "ps", "sys", "mod", "log", "bt -a"} {
		want, err := os.ReadFile(filepath.Join("testdata/9.0.2", strings.ReplaceAll(c, " ", "_")+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, s, c); got != string(want) {
			t.Errorf("%s: %d bytes, want %d", c, len(got), len(want))
		}
	}
}

// run is Run with the text of the answer.
func run(t testing.TB, s *Session, command string) string {
	t.Helper()
	a, err := s.Run(t.Context(), command)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return string(a.Output)
}

func TestRun(t *testing.T) {
	s := startFake(t, "")
	for _, want := range []string{"one", "two", "hexadecimal: 1 is no marker"} {
		if got := run(t, s, "ascii say "+want); got != want+"\n" {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got, want := run(t, s, "ascii bytes"), "a\x00b\x1b[31m\xff\r\ncrash> bt\nhexadecimal: 1234\n     binary: 0\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := run(t, s, "ascii"+strings.Repeat(" x", 40)); got != "" {
		t.Errorf("no output: %q", got)
	}
}

func TestAnswerParts(t *testing.T) {
	s := startFake(t, "")
	a, err := s.Run(t.Context(), "ascii warn")
	if err != nil || string(a.Output) != "first\nsecond\n" || !slices.Equal(a.Warnings, []string{"WARNING: something\n         is odd"}) {
		t.Errorf("%q %q %v", a.Output, a.Warnings, err)
	}
	a, err = s.Run(t.Context(), "ascii fail")
	var failed *CommandError
	if !errors.As(err, &failed) || failed.Text != "invalid address: 7" || string(a.Output) != "ascii: invalid address: 7\n" {
		t.Errorf("%q %v", a.Output, err)
	}
	a, err = s.Run(t.Context(), "ascii stderr")
	if !errors.As(err, &failed) || string(a.Stderr) != "<segmentation violation>\n" || string(a.Output) != "answered\n" {
		t.Errorf("stderr %q, stdout %q, %v", a.Stderr, a.Output, err)
	}
}

// TestDeadline: a command that hangs returns soon after its deadline, and the next one gets
// its own answer.
func TestDeadline(t *testing.T) {
	s := startFake(t, "")
	for _, how := range []string{"hang", "replay", "deaf", "endless", "hang"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		_, err := s.Run(ctx, "ascii "+how)
		cancel()
		if !errors.Is(err, ErrTimeout) {
			t.Errorf("%s: %v, want ErrTimeout", how, err)
		}
		if took := time.Since(begin); took > lateness {
			t.Errorf("%s: returned after %s", how, took)
		}
		if got := run(t, s, "ascii say after "+how); got != "after "+how+"\n" {
			t.Errorf("after %s: %q", how, got)
		}
	}
}

// TestUnsent: a command whose deadline passed before it was sent costs crash nothing. A signal
// to an idle crash may make it run an old command again.
func TestUnsent(t *testing.T) {
	s := startFake(t, "")
	pid := run(t, s, "ascii pid")
	s.turn <- struct{}{}
	c, err := s.child(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	passed, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := s.exchange(passed, c, "ascii deaf"); !errors.Is(err, ErrTimeout) {
		t.Errorf("%v, want ErrTimeout", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.exchange(canceled, c, "ascii deaf"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	<-s.turn
	if again := run(t, s, "ascii pid"); again != pid {
		t.Errorf("pid %s became %s", pid, again)
	}
}

func TestCancel(t *testing.T) {
	s := startFake(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, cancel)
	if _, err := s.Run(ctx, "ascii hang"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if got := run(t, s, "ascii say on"); got != "on\n" {
		t.Errorf("%q", got)
	}
}

func TestTooLong(t *testing.T) {
	cfg := fakeConfig(t, "")
	cfg.MaxOutput = 1 << 20
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, how := range []string{"endless", "long"} {
		a, err := s.Run(t.Context(), "ascii "+how)
		if !errors.Is(err, ErrTooLong) || len(a.Output) != 1<<20 {
			t.Errorf("%s: %v with %d bytes", how, err, len(a.Output))
		}
		if got := run(t, s, "ascii say after"); got != "after\n" {
			t.Errorf("after %s: %q", how, got)
		}
	}
}

// TestDeath: crash that ends in the middle of an answer is an error with what it had said,
// and a new one answers the next command.
func TestDeath(t *testing.T) {
	s := startFake(t, "")
	for _, how := range []string{"die", "segv"} {
		a, err := s.Run(t.Context(), "ascii "+how)
		if !errors.Is(err, ErrDied) {
			t.Errorf("%s: %v, want ErrDied", how, err)
		}
		if how == "die" && string(a.Output) != "half an ans" {
			t.Errorf("said %q", a.Output)
		}
		if got := run(t, s, "ascii say again"); got != "again\n" {
			t.Errorf("after %s: %q", how, got)
		}
	}
}

// TestThread: the child outlives the thread of the goroutine that called Start.
func TestThread(t *testing.T) {
	cfg := fakeConfig(t, "")
	got := make(chan *Session)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		s, err := Start(context.Background(), cfg)
		if err != nil {
			t.Error(err)
		}
		got <- s
	}()
	s := <-got
	defer s.Close()
	pid := run(t, s, "ascii pid")
	time.Sleep(50 * time.Millisecond)
	if again := run(t, s, "ascii pid"); again != pid {
		t.Errorf("pid %s became %s", pid, again)
	}
}

// TestGrandchild: what crash started goes with it, though it holds the pipes.
func TestGrandchild(t *testing.T) {
	s := startFake(t, "")
	pid, err := strconv.Atoi(strings.TrimSpace(run(t, s, "ascii grandchild")))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !gone(pid) {
		t.Errorf("process %d lives on", pid)
	}
}

// gone tells whether a process ends soon.
func gone(pid int) bool {
	return soon(func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// TestParentKilled: SIGKILL to the program that uses this package leaves no crash behind.
func TestParentKilled(t *testing.T) {
	if os.Getenv("KAUTOPSY_TEST_PARENT") != "" {
		beParent(t, "ascii deaf")
	}
	parentKilled(t, fakeConfig(t, ""))
}

// parentKilled runs this test again as a parent, kills that, and waits for its crash to end.
func parentKilled(t *testing.T, cfg Config) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	cmd := exec.Command(self, "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "KAUTOPSY_TEST_PARENT="+strings.Join([]string{cfg.Crash, cfg.VMLinux, cfg.Dump[0]}, "\n"), "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil || word != "CHILD" || len(living(t, tmp)) == 0 {
		t.Errorf("the parent said %q, %v; its processes: %v", word, err, living(t, tmp))
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !soon(func() bool { return len(living(t, tmp)) == 0 }) {
		t.Errorf("processes %v live on", living(t, tmp))
	}
}

// beParent is the parent: it says so when it has a session, and hangs in a command.
func beParent(t *testing.T, command string) {
	words := strings.Split(os.Getenv("KAUTOPSY_TEST_PARENT"), "\n")
	s, err := Start(context.Background(), Config{Crash: words[0], VMLinux: words[1], Dump: words[2:], StartTime: patience, Spoiled: true})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("CHILD")
	for {
		_, _ = s.Run(context.Background(), command)
	}
}

func TestStartFails(t *testing.T) {
	for how, want := range map[string]string{
		"silent": "ended without a word",
		"die vmlinux: no debugging data available":                                "no debug information",
		"die vmlinux: no text and data contents":                                  "debug information and nothing else",
		"die vmlinux and vmcore do not match!":                                    "not of the same kernel",
		`die read error: physical address: 1ffd1000  type: "pud page"`:            "is cut or damaged",
		"die compressed kdump: uncompress failed: no zstd compression support":    "lacks the dump's compression",
		"die something that nobody has seen":                                      "something that nobody has seen",
		"die error while loading shared libraries: libsnappy.so.1: cannot open":   "lacks a shared library",
		"die invalid structure member offset: module_num_gpl_syms FILE: module.c": "too old for the kernel",
	} {
		_, err := Start(t.Context(), fakeConfig(t, how))
		var failed *StartError
		if !errors.As(err, &failed) || !errors.Is(err, ErrStart) || !strings.Contains(failed.Cause, want) || failed.Exit != "exit status 1" ||
			failed.Form != strings.Contains(how, "compression support") {
			t.Errorf("%s: %v, want %q", how, err, want)
		}
	}
	cfg := fakeConfig(t, "hang")
	cfg.StartTime, cfg.Modes = 100*time.Millisecond, []Mode{Normal}
	var late *StartError
	if _, err := Start(t.Context(), cfg); !errors.As(err, &late) || !late.Late || !strings.Contains(err.Error(), "prompt in 100ms") {
		t.Errorf("hang: %v", err)
	}
	cfg = fakeConfig(t, "")
	cfg.Crash = filepath.Join(t.TempDir(), "crash")
	if _, err := Start(t.Context(), cfg); !errors.Is(err, ErrNoCrash) {
		t.Errorf("no program: %v", err)
	}
}

// TestLadder: the first mode that starts is kept, and what it costs is said and refused.
func TestLadder(t *testing.T) {
	for _, m := range []Mode{NoModules, ZeroExcluded, Minimal} {
		s := startFake(t, "only "+string(m))
		if s.Mode != m || len(s.Doubts) != 1 || !strings.Contains(s.Doubts[0].Text, string(m)) || !strings.Contains(s.Doubts[0].Text, "(normal: this crash is too old") {
			t.Errorf("%s: started %s with doubts %v", m, s.Mode, s.Doubts)
		}
		_, err := s.Run(t.Context(), "mod")
		if refused := errors.Is(err, ErrSpoiled); refused != (m != ZeroExcluded) {
			t.Errorf("%s: mod: %v", m, err)
		}
	}
}

// TestMachine: a crash for another machine is not started.
func TestMachine(t *testing.T) {
	for machine, want := range map[string]bool{"x86_64": true, "": true, "aarch64": false, "s390x": false} {
		cfg := fakeConfig(t, "")
		cfg.Machine = machine
		s, err := Start(t.Context(), cfg)
		if (err == nil) != want || err != nil && (!errors.Is(err, ErrStart) || !strings.Contains(err.Error(), "reads dumps of x86_64")) {
			t.Errorf("%s: %v", machine, err)
		}
		if s != nil {
			s.Close()
		}
	}
	for target, machine := range map[string]string{"arm64": "aarch64", "ppc64": "ppc64le", "x86": "i686", "s390x": "s390x"} {
		if err := (Program{Target: target}).reads(machine); err != nil {
			t.Errorf("%s: %v", machine, err)
		}
	}
}

func TestSpoiled(t *testing.T) {
	s := startFake(t, "warn")
	if len(s.Warnings) != 1 || len(s.Doubts) != 1 || !s.Doubts[0].Explains("WARNING: active task 1 on cpu 1 not found in PID hash") || s.Doubts[0].Explains("WARNING: x") {
		t.Errorf("warnings %q, doubts %v", s.Warnings, s.Doubts)
	}
	if _, err := s.Run(t.Context(), "ps"); !errors.Is(err, ErrSpoiled) {
		t.Errorf("ps: %v, want ErrSpoiled", err)
	}
	cfg := fakeConfig(t, "warn")
	cfg.Spoiled = true
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := run(t, s, "ps"); !strings.Contains(got, "COMM") {
		t.Errorf("ps: %q", got)
	}
}

// TestPrivate: the child sees an empty home, which is its working directory, links with plain
// names, and nothing of our environment.
func TestPrivate(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{".crashrc", ".gdbinit"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte("!touch harm\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Chdir(home)
	s := startFake(t, "")
	lines := strings.Split(run(t, s, "ascii where"), "\n")
	env := lines[1 : len(lines)-1]
	slices.Sort(env)
	if want := []string{"HOME=" + lines[0], "LC_ALL=C", "PATH=/usr/bin:/bin", "TERM=dumb", "TZ=UTC"}; !slices.Equal(env, want) {
		t.Errorf("environment %q, want %q", env, want)
	}
	if lines[0] == home || len(s.Warnings) > 0 {
		t.Errorf("it works in %s: %q", lines[0], s.Warnings)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "vmcore" {
		t.Errorf("in its folder: %v %v", entries, err)
	}
	s.Close()
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}

func TestClose(t *testing.T) {
	s := startFake(t, "")
	var done sync.WaitGroup
	for range 3 {
		done.Go(func() {
			if _, err := s.Run(t.Context(), "ascii hang"); !errors.Is(err, ErrClosed) {
				t.Errorf("%v, want ErrClosed", err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	s.Close()
	s.Close()
	done.Wait()
	if _, err := s.Run(t.Context(), "ascii say x"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestSoak: many commands of many callers, with time-outs and deaths among them, leave no
// process, descriptor, goroutine or file behind.
func TestSoak(t *testing.T) {
	commands, bad := 300, 30
	if testing.Short() {
		commands, bad = 60, 6
	}
	leavesNothing(t, fakeConfig(t, ""), func(s *Session) {
		var callers sync.WaitGroup
		for caller := range 3 {
			callers.Go(func() {
				for i := range commands / 3 {
					soakOne(t, s, caller, i, commands/bad)
				}
			})
		}
		callers.Wait()
	})
}

// leavesNothing starts a session, has it work and closes it: no process, descriptor, goroutine
// or file is left.
func leavesNothing(t *testing.T, cfg Config, work func(*Session)) {
	t.Helper()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	files, routines := openFiles(t), runtime.NumGoroutine()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	work(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !soon(func() bool { return runtime.NumGoroutine() <= routines }) {
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), routines)
	}
	if !soon(func() bool { return openFiles(t) <= files }) {
		t.Errorf("%d descriptors, %d before", openFiles(t), files)
	}
	if !soon(func() bool { return len(living(t, tmp)) == 0 }) {
		t.Errorf("processes %v live on", living(t, tmp))
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v %v", left, err)
	}
}

// living lists the processes whose working directory is, or was, below a folder.
func living(t testing.TB, dir string) (pids []string) {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil || len(links) == 0 {
		t.Skipf("no /proc: %v", err)
	}
	for _, l := range links {
		if cwd, err := os.Readlink(l); err == nil && strings.HasPrefix(cwd, dir+"/") {
			pids = append(pids, filepath.Base(filepath.Dir(l)))
		}
	}
	return pids
}

func soakOne(t *testing.T, s *Session, caller, i, every int) {
	if i%every != 0 {
		want := fmt.Sprintf("caller %d line %d", caller, i)
		if a, err := s.Run(t.Context(), "ascii say "+want); err != nil || string(a.Output) != want+"\n" {
			t.Errorf("%s: %q %v", want, a.Output, err)
		}
		return
	}
	how := []string{"hang", "deaf", "die", "endless", "grandchild"}[i/every%5]
	if how != "die" && how != "grandchild" {
		// the wait for the others is not part of it
		s.cfgTimeout(t, 30*time.Millisecond, "ascii "+how)
		return
	}
	if _, err := s.Run(t.Context(), "ascii "+how); how == "die" && !errors.Is(err, ErrDied) {
		t.Errorf("%s: %v", how, err)
	}
}

// cfgTimeout runs a command that has to run into its deadline, once it has its turn.
func (s *Session) cfgTimeout(t *testing.T, d time.Duration, command string) {
	s.turn <- struct{}{}
	c, err := s.child(t.Context())
	if err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		begin := time.Now()
		_, err = s.exchange(ctx, c, command)
		cancel()
		if took := time.Since(begin); took > d+lateness {
			t.Errorf("%s returned after %s", command, took)
		}
	}
	<-s.turn
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("%s: %v, want ErrTimeout", command, err)
	}
}

func openFiles(t testing.TB) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	return len(list)
}
