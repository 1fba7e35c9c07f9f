package crashshell

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Attach runs crash on the terminal of this process until its user leaves it: without .crashrc
// and .gdbinit, and on links with plain names as a session does, but with all of its commands
// and without limits. ctx bounds the search for the program only: an interrupt is for crash.
// The caller must not die of SIGINT.
func Attach(ctx context.Context, cfg Config) error {
	p, err := Find(ctx, cfg.Crash)
	if err != nil {
		return err
	}
	if err := p.reads(cfg.Machine); err != nil {
		return err
	}
	s := &Session{Program: p, cfg: cfg}
	if err := s.lay(); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	cmd := exec.Command(p.Path, "--no_crashrc")
	for _, name := range s.names() {
		cmd.Args = append(cmd.Args, filepath.Join(s.dir, name))
	}
	cmd.Args[0] = "crash"
	cmd.Env = append(environment(s.dir), "TERM="+os.Getenv("TERM")) // the later one counts
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// crash ends with the thread that started it
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("crash: %w", err)
	}
	return nil
}
