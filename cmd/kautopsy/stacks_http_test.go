package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestStacksHTTP asks pprof's pages of the small dump, as a browser does.
func TestStacksHTTP(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := filepath.Join(t.TempDir(), "crashkit")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "crashkit.c"), []byte(strings.Repeat("\n", 60)+"the line of the fault\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dump := filepath.Join(filepath.Dir(dir), "vmcore") // not beside the vmlinux
	from, err := filepath.Abs(tiny(t, "vmcore.zlib"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(from, dump); err != nil {
		t.Fatal(err)
	}
	said, stderr := io.Pipe()
	env := &environment{ctx: ctx, in: strings.NewReader(""), out: io.Discard, err: stderr, getenv: func(string) string { return "" }}
	done := make(chan exit, 1)
	go func() {
		done <- run(env, []string{"stacks", "--http", ":0", "-k", tiny(t, "crashkit.ko"), "--source", dir, dump})
		stderr.Close()
	}()
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err, <-done)
	}
	go io.Copy(io.Discard, said) //nolint:errcheck // what pprof says on its way
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	if url == "" {
		t.Fatalf("no address of this machine alone in %q", line)
	}
	for page, want := range map[string]string{
		"/":                        "entry_SYSCALL_64_after_hwframe",
		"/ui/flamegraph":           "ck_null_work [crashkit]",
		"/ui/top":                  "__schedule",
		"/ui/disasm?f=schedule":    "&lt;sched_submit_work&gt;",
		"/ui/disasm?f=ck_null":     "movl   $0x3,(%rax)",
		"/ui/source?f=__schedule":  "__schedule",
		"/ui/source?f=ck_null":     "the line of the fault",
		"/ui/peek?f=futex_wait":    "do_futex",
		"/ui/disasm?f=worker_thre": "worker_thread",
	} {
		if text, status := get(t, url+page, ""); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: status %d, no %q in %d bytes", page, status, want, len(text))
		}
	}
	if _, status := get(t, url+"/ui/top", "evil.example"); status != http.StatusForbidden {
		t.Errorf("asked by another name: status %d", status)
	}
	cancel()
	select {
	case code := <-done:
		if code != exitOK {
			t.Errorf("exit %d", code)
		}
	case <-time.After(time.Minute):
		t.Error("it does not stop")
	}
}

func get(t *testing.T, url, host string) (text string, status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), answer.StatusCode
}

// TestSourcePage: whatever debug information calls its source, pprof opens files of the
// source's folder alone.
func TestSourcePage(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "shadow")
	dir := filepath.Join(outside, "src")
	if err := os.MkdirAll(filepath.Join(dir, "kernel"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{secret, filepath.Join(dir, "kernel/panic.c")} {
		if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(secret, filepath.Join(dir, "kernel/link.c")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	tree, err := openSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.close()
	for name, want := range map[string]string{
		"kernel/panic.c":              filepath.Join(dir, "kernel/panic.c"),
		"/build/linux/kernel/panic.c": filepath.Join(dir, "kernel/panic.c"),
		secret:                        "…" + secret,
		"../shadow":                   "…/shadow",
		"kernel/../../shadow":         "…/shadow",
		"shadow":                      "…/shadow",
		"kernel/link.c":               "…/kernel/link.c",
	} {
		if got := tree.page(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if got := (*sourceTree)(nil).page(name); !strings.HasPrefix(got, "…/") || strings.Contains(got, "..") {
			t.Errorf("without --source, %s: %s", name, got)
		}
	}
}

func TestLocalName(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:80": true, "localhost:8080": true, "[::1]:80": true, "localhost": true, "[::1]": true,
		"evil.example": false, "evil.example:80": false, "10.0.0.1:80": false, "": false, "localhost.evil.example": false,
	} {
		if localName(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}
