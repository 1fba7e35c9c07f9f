package crashshell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrNoCrash is wrapped when there is no crash program.
var ErrNoCrash = errors.New("no crash program")

// Program is an installed crash.
type Program struct {
	Path    string
	Version Version
	Target  string // the machine whose dumps it reads: "x86_64"; "" if it does not say
}

// Version is crash's: 8.0.2 is {8, 0, 2}.
type Version [3]int

// String is "8.0.2".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// targets are crash's names of machines, by those of uname -m, where they are not the same.
var targets = map[string]string{"aarch64": "arm64", "ppc64le": "ppc64", "i386": "x86", "i586": "x86", "i686": "x86"}

// reads is ErrStart if the program is built for dumps of another machine, as uname -m has it. One
// that is not known counts as read.
func (p Program) reads(machine string) error {
	if p.Target == "" || machine == "" || cmp.Or(targets[machine], machine) == p.Target {
		return nil
	}
	return fmt.Errorf("%w: %s reads dumps of %s, and this one is of %s: it takes a crash that is built for that", ErrStart, p.Path, p.Target, machine)
}

// Before tells whether v is older than w.
func (v Version) Before(w Version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// Find looks for crash: at path if that is not empty, else at $KAUTOPSY_CRASH, else in
// $PATH. The error wraps ErrNoCrash when there is none.
func Find(ctx context.Context, path string) (Program, error) {
	if path == "" {
		path = os.Getenv("KAUTOPSY_CRASH")
	}
	if path == "" {
		path = "crash"
	}
	full, err := exec.LookPath(path)
	if err != nil {
		where := "at " + path
		if path == "crash" {
			where = "in $PATH"
		}
		return Program{}, fmt.Errorf("%w %s: install Debian's or Fedora's package crash, or name one with --crash or KAUTOPSY_CRASH", ErrNoCrash, where)
	}
	if full, err = filepath.Abs(full); err != nil {
		return Program{}, fmt.Errorf("crash: %w", err)
	}
	p := Program{Path: full}
	out, err := p.output(ctx, "--version")
	if err != nil {
		return p, err
	}
	if p.Version, err = parseVersion(out); err != nil {
		return p, fmt.Errorf("%w: %s --version: %w", ErrNoCrash, full, err)
	}
	if out, err = p.output(ctx, "--buildinfo"); err == nil {
		p.Target = parseTarget(out)
	}
	return p, nil
}

// output runs the program for its own words. crash reads no dump for them.
func (p Program) output(ctx context.Context, option string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "kautopsy-crash-")
	if err != nil {
		return nil, fmt.Errorf("crash: %w", err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, p.Path, option)
	cmd.Args[0], cmd.Dir, cmd.Env = "crash", dir, environment(dir)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("%w: %s %s: %w", ErrNoCrash, p.Path, option, err)
	}
	return out, nil
}

// environment is all that a child sees: with a private HOME there is no .crashrc and no
// .gdbinit, and dates are UTC.
func environment(home string) []string {
	return []string{"HOME=" + home, "PATH=/usr/bin:/bin", "TERM=dumb", "LC_ALL=C", "TZ=UTC"}
}

var versionLine = regexp.MustCompile(`(?m)^crash (\d+)\.(\d+)\.(\d+)`)

func parseVersion(out []byte) (v Version, err error) {
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return v, errors.New("it names no version")
	}
	for i := range v {
		if v[i], err = strconv.Atoi(string(m[i+1])); err != nil {
			return v, fmt.Errorf("version %s: %w", m[0], err)
		}
	}
	return v, nil
}

var targetLine = regexp.MustCompile(`(?m)^\s*build_target:\s*(\S+)`)

func parseTarget(out []byte) string {
	m := targetLine.FindSubmatch(out)
	if m == nil {
		return ""
	}
	return strings.ToLower(string(m[1]))
}
