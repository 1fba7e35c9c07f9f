package debuginfo_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/symbols/debuginfo"
)

// server answers like debuginfod and counts what it is asked.
func server(t *testing.T, answer http.HandlerFunc) (url string, asked *atomic.Int32) {
	asked = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path != "/buildid/"+id+"/debuginfo" || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// TestFetch: a server is asked by build-id when nothing is here; what it has goes to
// elfutils' cache and is taken from there the next time, by anybody and without asking.
func TestFetch(t *testing.T) {
	vmlinux := program{id: id, debug: 50_000}.build()
	empty, nothing := server(t, http.NotFound)
	has, asked := server(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(vmlinux) })
	cache := t.TempDir()
	d := debuginfo.Debuginfod{URLs: []string{empty, has + "/"}, Cache: cache}
	for round := range 2 {
		told := int64(0)
		f := finder(t, debuginfo.Options{Debuginfod: d, Progress: func(_ string, done, _ int64) { told = done }})
		got, err := f.Find(t.Context(), kernelWant())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content(t, got), vmlinux) || got.Proof != "build-id" {
			t.Errorf("another file: %+v", got)
		}
		if got.Path != filepath.Join(cache, id, "debuginfo") || nothing.Load() != 1 || asked.Load() != 1 {
			t.Errorf("round %d: %s; asked %d and %d times", round, got.Path, nothing.Load(), asked.Load())
		}
		if round == 0 && (told != int64(len(vmlinux)) || !strings.HasPrefix(got.Origin, has)) {
			t.Errorf("told %d of %d bytes, from %s", told, len(vmlinux), got.Origin)
		}
	}
	got, err := finder(t, debuginfo.Options{Debuginfod: debuginfo.Debuginfod{Cache: cache}}).Find(t.Context(), kernelWant())
	if err != nil {
		t.Errorf("without a server: %v, %v", got, err)
	}
	noCache := debuginfo.Options{Debuginfod: debuginfo.Debuginfod{URLs: []string{has}}}
	if got, err := finder(t, noCache).Find(t.Context(), kernelWant()); err != nil || !bytes.Equal(content(t, got), vmlinux) {
		t.Errorf("without a cache: %v", err)
	}
}

// TestFetchNot: no server is asked without need, and what a server sends that is not the
// right file is not kept.
func TestFetchNot(t *testing.T) {
	vmlinux := program{id: id, debug: 50_000}.build()
	has, asked := server(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(vmlinux) })
	o := debuginfo.Options{Debuginfod: debuginfo.Debuginfod{URLs: []string{has}, Cache: t.TempDir()}}
	o.Quick = true
	finder(t, o).Find(t.Context(), kernelWant()) //nolint:errcheck // below
	o.Quick = false
	unknown := kernelWant()
	unknown.BuildID = ""
	for _, bad := range []string{"", "../../etc", "ABCDEF0123456789"} {
		unknown.BuildID = bad
		finder(t, o).Find(t.Context(), unknown) //nolint:errcheck // below
	}
	o.Dirs = []string{t.TempDir()}
	write(t, o.Dirs[0], "vmlinux", vmlinux)
	if _, err := finder(t, o).Find(t.Context(), kernelWant()); err != nil || asked.Load() != 0 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"another build": func(w http.ResponseWriter, _ *http.Request) { w.Write(program{id: otherID, debug: 800}.build()) },
		"a page":        func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>log in first</html>") },
		"an error":      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(vmlinux[:5000])
		},
		"too large": func(w http.ResponseWriter, _ *http.Request) { w.Write(append(vmlinux, make([]byte, 1<<20)...)) },
	} {
		url, asked := server(t, answer)
		cache := t.TempDir()
		f := finder(t, debuginfo.Options{Debuginfod: debuginfo.Debuginfod{URLs: []string{url}, Cache: cache, MaxSize: 100_000}})
		got, err := f.Find(t.Context(), kernelWant())
		if !errors.Is(err, debuginfo.ErrNotFound) || asked.Load() != 1 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if trail := f.Trail(); len(trail) != 1 || trail[0].Err == nil || !strings.HasPrefix(trail[0].Path, url) {
			t.Errorf("%s: trail %+v", name, trail)
		}
		if left, err := os.ReadDir(cache); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}

// TestFetchStall: a server that stops answering is given up.
func TestFetchStall(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	url, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("\x7fELF"))
		w.(http.Flusher).Flush()
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
	d := debuginfo.Debuginfod{URLs: []string{url}, Cache: t.TempDir(), Timeout: 50 * time.Millisecond}
	if _, err := finder(t, debuginfo.Options{Debuginfod: d}).Find(t.Context(), kernelWant()); !errors.Is(err, debuginfo.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestDebuginfodOf reads elfutils' environment.
func TestDebuginfodOf(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	home := t.TempDir()
	d := debuginfo.DebuginfodOf(env("DEBUGINFOD_URLS", " http://a  https://b ", "DEBUGINFOD_TIMEOUT", "7", "DEBUGINFOD_MAXSIZE", "9", "HOME", home))
	if len(d.URLs) != 2 || d.URLs[1] != "https://b" || d.Timeout != 7*time.Second || d.MaxSize != 9 || d.Cache != home+"/.cache/debuginfod_client" {
		t.Errorf("%+v", d)
	}
	if d := debuginfo.DebuginfodOf(env("XDG_CACHE_HOME", "/x", "HOME", "/h", "DEBUGINFOD_TIMEOUT", "soon")); d.Cache != "/x/debuginfod_client" || d.Timeout != 0 {
		t.Errorf("%+v", d)
	}
	if d := debuginfo.DebuginfodOf(env("XDG_CACHE_HOME", "/x", "DEBUGINFOD_CACHE_PATH", "/c")); d.Cache != "/c" {
		t.Errorf("%+v", d)
	}
}
