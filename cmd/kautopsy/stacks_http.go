package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/objtool"
)

// pages is a run of pprof's pages: the driver's options, each as small as it can be.
type pages struct {
	env   *environment
	ln    net.Listener
	p     *profile.Profile
	lines objtool.Lines
	name  string
	opts  map[string]string // pprof's flags
}

// serve shows a profile in pprof's own pages until the process is told to stop.
func (f *stacksFlags) serve(env *environment, file string, k *kernel.Kernel, p *profile.Profile) error {
	addr := f.http
	host, port, err := net.SplitHostPort(addr)
	if err != nil && !strings.Contains(addr, ":") {
		host, port, err = "", addr, nil // a port alone
	}
	if err != nil {
		return usagef("--http %s: want HOST:PORT or :PORT", addr)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	tree, err := openSource(f.from)
	if err != nil {
		return err
	}
	defer tree.close()
	lines := func(addr uint64) []driver.Frame { return sourceFrames(env, k, tree, addr) }
	tool, err := objtool.New(env.ctx, k, lines)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	defer ln.Close()
	s := &pages{env: env, ln: ln, p: p, lines: lines, name: filepath.Base(file), opts: map[string]string{"http": ln.Addr().String(), "source_path": string(filepath.Separator)}}
	return driver.PProf(&driver.Options{Flagset: s, Fetch: s, Sym: s, Obj: tool, UI: s, HTTPServer: s.serve})
}

// serve answers at the address that was opened before, and to those who asked for it: a page
// elsewhere that makes a browser ask by another name is refused, and nothing is written.
func (s *pages) serve(args *driver.HTTPServerArgs) error {
	mux := http.NewServeMux()
	for at, h := range args.Handlers {
		if at != "/saveconfig" && at != "/deleteconfig" {
			mux.Handle("/ui"+at, http.StripPrefix("/ui", h))
		}
	}
	mux.Handle("/", http.RedirectHandler("/ui/", http.StatusTemporaryRedirect))
	local := s.ln.Addr().(*net.TCPAddr).IP.IsLoopback()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local && !localName(r.Host) {
			http.Error(w, "this page is for this machine alone", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})}
	stop := context.AfterFunc(s.env.ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// localName tells whether a Host header names this machine.
func localName(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// Fetch implements driver.Fetcher.
func (s *pages) Fetch(string, time.Duration, time.Duration) (*profile.Profile, string, error) {
	return s.p, "", nil
}

// Symbolize implements driver.Symbolizer: the profile has its names, the debug information
// adds files, lines and what was inlined.
func (s *pages) Symbolize(_ string, _ driver.MappingSources, p *profile.Profile) error {
	functions := map[driver.Frame]*profile.Function{}
	for _, l := range p.Location {
		list := s.lines(l.Address)
		if len(list) == 0 || len(l.Line) != 1 {
			continue
		}
		real := l.Line[0].Function
		real.Filename = list[len(list)-1].File
		lines := []profile.Line{{Function: real, Line: int64(list[len(list)-1].Line)}}
		for _, f := range slices.Backward(list[:len(list)-1]) {
			key := driver.Frame{Func: f.Func, File: f.File}
			if functions[key] == nil {
				functions[key] = &profile.Function{ID: uint64(len(p.Function) + 1), Name: f.Func, SystemName: f.Func, Filename: f.File}
				p.Function = append(p.Function, functions[key])
			}
			lines = slices.Insert(lines, 0, profile.Line{Function: functions[key], Line: int64(f.Line)})
		}
		l.Line = lines
		l.Mapping.HasFilenames, l.Mapping.HasLineNumbers, l.Mapping.HasInlineFrames = true, true, true
	}
	return nil
}

// sourceFrames are the source lines of an address as pprof has them.
func sourceFrames(env *environment, k *kernel.Kernel, tree *sourceTree, addr uint64) (out []driver.Frame) {
	list, _ := k.Source(env.ctx, addr) // none is an answer
	for _, s := range list {
		out = append(out, driver.Frame{Func: s.Function, File: tree.page(s.File), Line: s.Line, Column: s.Column})
	}
	return out
}

// page is the name of a source file for pprof, which opens what it is called and looks for
// it in all folders from the current one up: a vmlinux can name /etc/shadow as its source.
// What is in the folder of --source has its place there, and the others a name that no file has.
func (t *sourceTree) page(name string) string {
	if t != nil {
		if f, err := t.open(name); err == nil {
			defer f.Close()
			if at, err := filepath.Abs(f.Name()); err == nil {
				return at
			}
		}
	}
	return "…" + path.Clean("/"+name)
}

// Bool and the like implement driver.FlagSet: pprof's flags have the values that we give.
func (s *pages) Bool(_ string, def bool, _ string) *bool          { return &def }
func (s *pages) Int(_ string, def int, _ string) *int             { return &def }
func (s *pages) Float64(_ string, def float64, _ string) *float64 { return &def }
func (s *pages) StringList(_, _, _ string) *[]*string             { return new([]*string) }
func (s *pages) ExtraUsage() string                               { return "" }
func (s *pages) AddExtraUsage(string)                             {}
func (s *pages) Parse(func()) []string                            { return []string{s.name} }

func (s *pages) String(name, def, _ string) *string {
	if v, ours := s.opts[name]; ours {
		def = v
	}
	return &def
}

// Print and the like implement driver.UI.
func (s *pages) Print(args ...any) { s.env.warn("%s", strings.TrimSpace(fmt.Sprint(args...))) }

func (s *pages) PrintErr(args ...any) { s.env.warn("%s", strings.TrimSpace(fmt.Sprint(args...))) }

func (s *pages) ReadLine(string) (string, error)     { return "", errors.New("no commands are read") }
func (s *pages) IsTerminal() bool                    { return false }
func (s *pages) WantBrowser() bool                   { return false }
func (s *pages) SetAutoComplete(func(string) string) {}
