package debuginfo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Debuginfod says which servers are asked for debug information, as elfutils' debuginfod
// does (debuginfod(8)): GET URL/buildid/HEX/debuginfo.
type Debuginfod struct {
	URLs    []string      // none: no server is asked
	Cache   string        // elfutils' folder: HEX/debuginfo; looked into even if no server is asked
	Timeout time.Duration // for an answer to begin, and for the next part of it; 0 is 90 s
	MaxSize int64         // bytes that are fetched at most; 0 is what unpacked files may have
}

// DebuginfodOf reads elfutils' environment: DEBUGINFOD_URLS, DEBUGINFOD_CACHE_PATH,
// DEBUGINFOD_TIMEOUT (seconds) and DEBUGINFOD_MAXSIZE (bytes).
func DebuginfodOf(getenv func(string) string) Debuginfod {
	d := Debuginfod{URLs: strings.Fields(getenv("DEBUGINFOD_URLS")), Cache: getenv("DEBUGINFOD_CACHE_PATH")}
	if s, err := strconv.Atoi(getenv("DEBUGINFOD_TIMEOUT")); err == nil && s > 0 && s < 1<<20 {
		d.Timeout = time.Duration(s) * time.Second
	}
	if n, err := strconv.ParseInt(getenv("DEBUGINFOD_MAXSIZE"), 10, 64); err == nil && n > 0 {
		d.MaxSize = n
	}
	home := getenv("HOME")
	_, err := os.Stat(home) // it is not made
	switch {
	case d.Cache != "":
	case getenv("XDG_CACHE_HOME") != "":
		d.Cache = filepath.Join(getenv("XDG_CACHE_HOME"), "debuginfod_client")
	case err == nil:
		d.Cache = filepath.Join(home, ".cache", "debuginfod_client")
	}
	return d
}

func (d *Debuginfod) timeout() time.Duration {
	if d.Timeout > 0 {
		return d.Timeout
	}
	return 90 * time.Second
}

func (d *Debuginfod) most() int64 {
	if d.MaxSize > 0 {
		return min(d.MaxSize, maxUnpacked)
	}
	return maxUnpacked
}

// fetch asks the servers one after the other. What they have goes to elfutils' cache, where
// its own tools find it too.
func (f *Finder) fetch(ctx context.Context, w *Want) *File {
	for _, url := range f.o.Debuginfod.URLs {
		if !isBuildID(w.BuildID) || ctx.Err() != nil {
			return nil
		}
		url = strings.TrimSuffix(url, "/") + "/buildid/" + w.BuildID + "/debuginfo"
		file, err := f.get(ctx, url, w)
		f.trail = append(f.trail, Attempt{*w, url, err})
		if err == nil {
			return file
		}
	}
	return nil
}

// get fetches a file.
func (f *Finder) get(ctx context.Context, url string, w *Want) (*File, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait := f.o.Debuginfod.timeout()
	stalled := time.AfterFunc(wait, cancel)
	defer stalled.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "kautopsy")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s: the server does not have it: %w", url, ErrNotFound)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: the server answers %s", url, resp.Status)
	}
	total := resp.ContentLength
	if n, err := strconv.ParseInt(resp.Header.Get("X-DEBUGINFOD-SIZE"), 10, 64); err == nil && total < 0 {
		total = n
	}
	body := &progress{ctx: ctx, r: resp.Body, what: url, total: total, tell: func(what string, done, total int64) {
		stalled.Reset(wait)
		if f.o.Progress != nil {
			f.o.Progress(what, done, total)
		}
	}}
	return f.save(body, url, w)
}

// save writes what a server sends to the cache. It gets its name when it is complete and
// is what was asked for.
func (f *Finder) save(body io.Reader, url string, w *Want) (*File, error) {
	dir := filepath.Join(f.o.Debuginfod.Cache, w.BuildID)
	var out *os.File
	err := os.ErrNotExist
	if f.o.Debuginfod.Cache != "" {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			out, err = os.CreateTemp(dir, "debuginfo.*")
		}
	}
	kept := err == nil
	if !kept {
		if out, err = (&store{}).create(); err != nil {
			return nil, err
		}
	}
	most := f.o.Debuginfod.most()
	n, err := io.Copy(out, io.LimitReader(body, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	var file *File
	if err == nil {
		f.files = append(f.files, out)
		file, err = f.plain(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), out.Fd()), out, n, w)
	}
	if err == nil && kept {
		file.Path = filepath.Join(dir, "debuginfo")
		err = os.Rename(out.Name(), file.Path)
	}
	if err != nil {
		if kept {
			os.Remove(out.Name())
			os.Remove(dir) // unless something else is there
		}
		return nil, err
	}
	file.Origin = url
	return file, nil
}
