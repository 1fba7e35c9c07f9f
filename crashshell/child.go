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
)

// stderrKept is how much of a child's stderr is kept: the last of it.
const stderrKept = 64 << 10

// child is one crash process.
//
// crash asks the kernel to be killed when its parent ends (PR_SET_PDEATHSIG), which counts
// the thread that forked as the parent. So one goroutine keeps that thread to itself, starts
// crash and stays in wait until it has ended. The child leads a session of its own: no
// terminal, and one kill reaches whatever it started.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   chan []byte   // stdout; closed at its end
	errs  *tail         // stderr
	ended chan struct{} // closed when the process is reaped and all of its group killed
	gone  chan struct{} // closed by discard: nobody reads out any more
	once  sync.Once
}

// start runs a program in dir.
func start(p Program, args []string, dir string, limits limits) (*child, error) {
	c := &child{
		cmd: exec.Command(p.Path, args...), out: make(chan []byte, 4), errs: &tail{max: stderrKept},
		ended: make(chan struct{}), gone: make(chan struct{}),
	}
	c.cmd.Args[0] = "crash" // its prompt, its error prefix, the name of its .crashrc
	c.cmd.Dir, c.cmd.Env = dir, environment(dir)
	c.cmd.SysProcAttr = ownSession()
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("crash: %w", err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		inR.Close()
		inW.Close()
		return nil, fmt.Errorf("crash: %w", err)
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr, c.stdin = inR, outW, c.errs, inW
	// a grandchild that keeps stderr open must not keep Wait
	c.cmd.WaitDelay = time.Second
	started := make(chan error)
	go c.keep(started, limits)
	err = <-started
	inR.Close()
	outW.Close()
	if err != nil {
		inW.Close()
		outR.Close()
		return nil, fmt.Errorf("crash: %w", err)
	}
	go c.drain(outR)
	return c, nil
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
}

// drain reads stdout for as long as somebody takes it.
func (c *child) drain(r io.ReadCloser) {
	defer r.Close()
	defer close(c.out)
	for {
		b := make([]byte, 32<<10)
		n, err := r.Read(b)
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

// write sends lines. crash reads at once when idle, so a pipe that takes nothing for the
// deadline is a child that hangs.
func (c *child) write(ctx context.Context, lines string) error {
	if f, ok := c.stdin.(*os.File); ok {
		if d, ok := ctx.Deadline(); ok {
			_ = f.SetWriteDeadline(d)
		}
	}
	_, err := io.WriteString(c.stdin, lines)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errDeadline
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
	if err := c.write(ctx, text); err != nil {
		return c.last(f), err
	}
	err := c.read(ctx, f)
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

// last is what a child that does not read any more has said.
func (c *child) last(f *frame) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.read(ctx, f)
	return f.text()
}

// Times that bring a child back to its prompt, or to its end.
const (
	interruptTime = 1200 * time.Millisecond
	quitTime      = 2 * time.Second
)

// interrupt stops the command that runs. It tells whether the child is at its prompt again:
// after SIGINT crash may run an old line once more, so what it says is dropped up to a new
// marker, and nothing may stand before a second one.
func (c *child) interrupt() bool {
	ctx, cancel := context.WithTimeout(context.Background(), interruptTime)
	defer cancel()
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

// tail keeps the end of what is written to it.
type tail struct {
	mu    sync.Mutex
	buf   []byte
	max   int
	total int64
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += int64(len(b))
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

// since is what was written behind the first n bytes, as far as it is kept.
func (t *tail) since(n int64) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := min(t.total-n, int64(len(t.buf)))
	return append([]byte{}, t.buf[int64(len(t.buf))-k:]...)
}

// mark is where since begins for what is written from now on.
func (t *tail) mark() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}
