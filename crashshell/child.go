package crashshell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// What ends an exchange with a child before its answer is whole.
var (
	errDied     = errors.New("crash ended")
	errDeadline = errors.New("the deadline passed")
	errTooLong  = errors.New("the answer is longer than its bound")
	errUnsent   = errors.New("crash was not asked")
)

// child is one crash process.
//
// crash asks the kernel to be killed when its parent ends (PR_SET_PDEATHSIG), which counts
// the thread that forked as the parent. So one goroutine keeps that thread to itself, starts
// crash and stays in wait until it has ended. The child leads a session of its own: no
// terminal, and one kill reaches whatever it started.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	outR  *os.File
	out   chan []byte // stdout; closed at its end
	errs  *stderr
	ended chan struct{} // closed when the process is reaped and all of its group killed
	gone  chan struct{} // closed by discard: nobody reads out any more
	once  sync.Once
}

// start runs a program in dir.
func start(p Program, args []string, dir string, limits limits) (*child, error) {
	c := &child{
		cmd: exec.Command(p.Path, args...), out: make(chan []byte, 4),
		ended: make(chan struct{}), gone: make(chan struct{}),
	}
	c.cmd.Args[0] = "crash" // its prompt, its error prefix, the name of its .crashrc
	c.cmd.Dir, c.cmd.Env = dir, environment(dir)
	c.cmd.SysProcAttr = ownSession()
	its, ours, err := pipes()
	if err != nil {
		return nil, fmt.Errorf("crash: %w", err)
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = its[0], its[1], its[2]
	c.stdin, c.outR = ours[0], ours[1]
	if c.errs, err = newStderr(ours[2]); err == nil {
		started := make(chan error)
		go c.keep(started, limits)
		err = <-started
	}
	closeAll(its)
	if err != nil {
		closeAll(ours)
		return nil, fmt.Errorf("crash: %w", err)
	}
	go c.drain()
	go c.errs.collect()
	return c, nil
}

// pipes makes three: the ends that a child has as stdin, stdout and stderr, and ours.
func pipes() (its, ours [3]*os.File, err error) {
	for i := range its {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(its)
			closeAll(ours)
			return its, ours, err
		}
		its[i], ours[i] = w, r
	}
	its[0], ours[0] = ours[0], its[0]
	return its, ours, nil
}

func closeAll(files [3]*os.File) {
	for _, f := range files {
		f.Close() // of one that was not opened it is an error and no more
	}
}

// keep starts the process and waits for its end on one thread.
func (c *child) keep(started chan<- error, l limits) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.cmd.Start(); err != nil {
		started <- err
		close(c.ended)
		return
	}
	l.apply(c.cmd.Process.Pid)
	started <- nil
	waitExited(c.cmd.Process.Pid)
	killGroup(c.cmd.Process.Pid) // its number is ours until Wait returns
	_ = c.cmd.Wait()
	close(c.ended)
	// what left the group may hold the pipes open for good
	last := time.Now().Add(time.Second)
	_, _ = c.outR.SetReadDeadline(last), c.errs.r.SetReadDeadline(last)
}

// drain reads stdout for as long as somebody takes it.
func (c *child) drain() {
	defer c.outR.Close()
	defer close(c.out)
	for {
		b := make([]byte, 32<<10)
		n, err := c.outR.Read(b)
		if n > 0 {
			select {
			case c.out <- b[:n]:
			case <-c.gone:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// write sends lines, all or nothing: they are fewer than what a pipe takes at once. An idle
// crash takes them without delay.
func (c *child) write(ctx context.Context, lines string) error {
	if f, ok := c.stdin.(*os.File); ok {
		if d, ok := ctx.Deadline(); ok {
			_ = f.SetWriteDeadline(d)
		}
	}
	err := ctx.Err()
	if err == nil {
		_, err = io.WriteString(c.stdin, lines)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", errUnsent, errDeadline)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", errUnsent, err)
	case err != nil:
		return errDied
	}
	return nil
}

// ask sends a line, none if it is empty, and reads what crash says to it.
func (c *child) ask(ctx context.Context, line string, maxBytes int) ([]byte, error) {
	m := newMarker()
	text := m.line()
	if line != "" {
		text = line + "\n" + text
	}
	f := expect(m, maxBytes, false)
	err := c.write(ctx, text)
	switch {
	case err == nil:
		err = c.read(ctx, f)
	case errors.Is(err, errDied): // its last words
		grace, cancel := context.WithTimeout(context.Background(), graceTime/2)
		_ = c.read(grace, f)
		cancel()
	}
	return f.text(), err
}

// read collects a frame.
func (c *child) read(ctx context.Context, f *frame) error {
	for {
		select {
		case b, ok := <-c.out:
			switch {
			case !ok:
				return errDied
			case f.add(b):
				return nil
			case f.over():
				return errTooLong
			}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return errDeadline
			}
			return ctx.Err()
		}
	}
}

// Times that bring a child back to its prompt, or to its end.
const (
	graceTime = 1500 * time.Millisecond
	quitTime  = 2 * time.Second
)

// recover brings a child back to its prompt after a command that ended with err. It tells
// whether it did.
func (c *child) recover(err error) bool {
	if errors.Is(err, errDied) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), graceTime)
	defer cancel()
	return c.interrupt(ctx)
}

// interrupt stops the command that runs. It tells whether the child is at its prompt again:
// after SIGINT crash may run an old line once more, so what it says is dropped up to a new
// marker, and nothing may stand before a second one.
func (c *child) interrupt(ctx context.Context) bool {
	if c.cmd.Process.Signal(syscall.SIGINT) != nil {
		return false
	}
	m := newMarker()
	if c.write(ctx, m.line()) != nil || c.read(ctx, expect(m, 0, true)) != nil {
		return false
	}
	said, err := c.ask(ctx, "", 4096)
	return err == nil && len(said) == 0
}

// end says how a child that closed its output ended; a large one may not be gone yet.
func (c *child) end() string {
	select {
	case <-c.ended:
		return c.cmd.ProcessState.String()
	case <-time.After(graceTime / 2):
		return "it closed its output"
	}
}

// quit ends the child: politely first, then not.
func (c *child) quit() {
	ctx, cancel := context.WithTimeout(context.Background(), quitTime)
	defer cancel()
	_ = c.write(ctx, "q\n")
	c.stdin.Close()
	go func() {
		for range c.out {
		}
	}()
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
	c.kill()
}

// kill ends the child and all that it started, and waits until they are gone.
func (c *child) kill() {
	c.once.Do(func() { close(c.gone) })
	c.stdin.Close()
	select {
	case <-c.ended:
		return
	default:
	}
	_ = c.cmd.Process.Kill() // the group follows when it is seen to have ended
	<-c.ended
}

// alive tells whether the process runs.
func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}
