package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/objtool"
)

// pages is a run of pprof's pages: the driver's options, each as small as it can be.
type pages struct {
	env  *environment
	ln   net.Listener
	p    *profile.Profile
	name string
	opts map[string]string // pprof's flags
}

// serveStacks shows a profile in pprof's own pages until the process is told to stop.
func serveStacks(env *environment, addr, file string, k *kernel.Kernel, p *profile.Profile) error {
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
	tool, err := objtool.New(env.ctx, k, nil)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	defer ln.Close()
	s := &pages{env: env, ln: ln, p: p, name: filepath.Base(file), opts: map[string]string{"http": ln.Addr().String()}}
	return driver.PProf(&driver.Options{Flagset: s, Fetch: s, Sym: s, Obj: tool, UI: s, HTTPServer: s.serve})
}

// serve answers at the address that was opened before, and to those who asked for it: a page
// elsewhere that makes a browser ask by another name is refused, and nothing is written.
func (s *pages) serve(args *driver.HTTPServerArgs) error {
	mux := http.NewServeMux()
	for path, h := range args.Handlers {
		if path != "/saveconfig" && path != "/deleteconfig" {
			mux.Handle("/ui"+path, http.StripPrefix("/ui", h))
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

// Symbolize implements driver.Symbolizer: the profile has its names.
func (s *pages) Symbolize(string, driver.MappingSources, *profile.Profile) error { return nil }

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
