package crashshell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Errors of Run, beside those of Check, CommandError and StartError.
var (
	ErrTimeout = errors.New("crash did not answer in time")
	ErrTooLong = errors.New("crash's answer is too long")
	ErrDied    = errors.New("crash ended during the command")
	ErrSpoiled = errors.New("crash answers this wrongly here")
	ErrClosed  = errors.New("the session is closed")
)

// Config is what a session needs.
type Config struct {
	Crash   string   // the program; "": see Find
	VMLinux string   // with debug information, not compressed
	Dump    []string // one file; the parts of a split set
	Release string   // of the dump's kernel, if known: what this crash gets wrong of it is then said
	Machine string   // of the dump, as uname -m has it, if known: a crash for another one is then not started

	Modes     []Mode        // tried in this order; nil: all four
	Timeout   time.Duration // of a command; 0: one minute
	StartTime time.Duration // of each attempt to start; 0: three minutes
	MaxOutput int           // bytes of an answer; 0: 64 MiB
	Memory    uint64        // bytes of address space; 0: 4 GiB
	CPU       time.Duration // processor time of one child; 0: one hour
	Unsafe    bool          // send what Check refuses, too
	Spoiled   bool          // answer what is known to be wrong, too
}

func (c *Config) fill() {
	if len(c.Modes) == 0 {
		c.Modes = []Mode{Normal, NoModules, ZeroExcluded, Minimal}
	}
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.StartTime = cmp.Or(c.StartTime, 3*time.Minute)
	c.MaxOutput = cmp.Or(c.MaxOutput, 64<<20)
	c.Memory = cmp.Or(c.Memory, 4<<30)
	c.CPU = cmp.Or(c.CPU, time.Hour)
}

// Session is crash on one dump. Its methods may be called by many goroutines: crash answers
// one at a time, the others queue.
type Session struct {
	Program  Program
	Mode     Mode    // the first one that started
	Doubts   []Doubt // what is known to make answers wrong
	Warnings []string

	cfg    Config
	dir    string        // private: HOME, working directory, links to the files
	turn   chan struct{} // holds a token while a command runs
	ctx    context.Context
	cancel context.CancelFunc
	now    *incarnation   // guarded by turn
	work   sync.WaitGroup // launches under way
	once   sync.Once      // of Close
	closed error
}

// incarnation is one child, or one on its way.
type incarnation struct {
	ready chan struct{} // closed when child or err is set
	child *child
	said  []byte // at its start
	err   error
}

// Start starts crash in the first mode in which it comes to its prompt. ctx bounds the start
// only. The error wraps ErrNoCrash, ErrStart (see StartError), or ctx's.
func Start(ctx context.Context, cfg Config) (*Session, error) {
	cfg.fill()
	p, err := Find(ctx, cfg.Crash)
	if err != nil {
		return nil, err
	}
	if err := p.reads(cfg.Machine); err != nil {
		return nil, err
	}
	s := &Session{Program: p, Doubts: p.Doubts(cfg.Release), cfg: cfg, turn: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.lay(); err != nil {
		return nil, err
	}
	if err := s.climb(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// lay makes the private directory. crash passes paths unquoted to a shell in places, and cuts
// some at the first dot: it sees links with plain names.
func (s *Session) lay() (err error) {
	if s.dir, err = os.MkdirTemp("", "kautopsy-crash-"); err != nil {
		return fmt.Errorf("crash: %w", err)
	}
	for name, target := range s.files() {
		if target, err = filepath.Abs(target); err == nil {
			err = os.Symlink(target, filepath.Join(s.dir, name))
		}
		if err != nil {
			os.RemoveAll(s.dir)
			return fmt.Errorf("crash: %w", err)
		}
	}
	return nil
}

// files are the links by name.
func (s *Session) files() map[string]string {
	m := make(map[string]string)
	if s.cfg.VMLinux != "" {
		m["vmlinux"] = s.cfg.VMLinux
	}
	for i, d := range s.cfg.Dump {
		m[dumpName(i)] = d
	}
	return m
}

// names are the links in the order in which crash takes them.
func (s *Session) names() (list []string) {
	if s.cfg.VMLinux != "" {
		list = append(list, "vmlinux")
	}
	for i := range s.cfg.Dump {
		list = append(list, dumpName(i))
	}
	return list
}

func dumpName(i int) string {
	if i == 0 {
		return "vmcore"
	}
	return fmt.Sprintf("vmcore%d", i)
}

// climb goes down the ladder of modes until one starts.
func (s *Session) climb(ctx context.Context) error {
	var first error
	for _, m := range s.cfg.Modes {
		s.Mode = m
		in := s.begin(nil)
		select {
		case <-in.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if in.err == nil {
			s.now = in
			s.welcome(in, first)
			return nil
		}
		if first == nil {
			first = in.err
		}
		var failed *StartError
		if !errors.As(in.err, &failed) || failed.hopeless() {
			break
		}
	}
	return first
}

// welcome keeps what crash said at its start, and what follows from it. why is what the first
// mode did not start of, if that is not the one that did.
func (s *Session) welcome(in *incarnation, why error) {
	_, s.Warnings = splitWarnings(cleaned(in.said))
	s.Doubts = append(s.Doubts, warnedOf(s.Warnings)...)
	if d, ok := s.Mode.lost(); ok {
		var failed *StartError
		if errors.As(why, &failed) {
			d.Text += fmt.Sprintf(" (%s: %s)", failed.Mode, failed.Cause)
		}
		s.Doubts = append(s.Doubts, d)
	}
}

// begin starts a child, in place of an old one if there is one, without waiting for either.
// A process of some gigabytes takes its time to end: two at once would be over Config.Memory.
func (s *Session) begin(old *child) *incarnation {
	in := &incarnation{ready: make(chan struct{})}
	s.work.Go(func() {
		defer close(in.ready)
		if old != nil {
			old.kill()
		}
		in.child, in.said, in.err = s.launch()
	})
	return in
}

// launch starts a child and waits for its prompt.
func (s *Session) launch() (*child, []byte, error) {
	if s.ctx.Err() != nil {
		return nil, nil, ErrClosed
	}
	args := s.Mode.options()
	if s.Program.Target == "x86_64" {
		// crash before 8.0.4 does not see that a kernel since 6.6 moved: what it looks for is gone
		args = append(args, "--kaslr", "auto")
	}
	args = append(args, s.names()...)
	c, err := start(s.Program, args, s.dir, limits{s.cfg.Memory, s.cfg.CPU})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.StartTime)
	defer cancel()
	said, err := c.ask(ctx, "", 1<<20)
	if err == nil {
		return c, said, nil
	}
	c.kill()
	if s.ctx.Err() != nil {
		return nil, nil, ErrClosed
	}
	output := slices.Concat(said, c.errs.since(0))
	failed := &StartError{Mode: s.Mode, Output: output, Cause: explain(output), Form: unreadable(output), Exit: c.cmd.ProcessState.String()}
	if errors.Is(err, errDeadline) {
		failed.Late = true
		failed.Cause, failed.Exit = fmt.Sprintf("it did not come to its prompt in %s", s.cfg.StartTime), ""
	}
	return nil, nil, failed
}

// Run sends one command and waits for its answer. It returns by the deadline of ctx, or after
// Config.Timeout, and 1.5 s at most for bringing crash back to its prompt; one that does not
// come back is killed, which nobody waits for but the next command and Close. An answer that
// is there in part comes with its error: ErrTimeout, ErrTooLong, ErrDied, or a CommandError
// when it is nothing but crash's own errors.
func (s *Session) Run(ctx context.Context, command string) (Answer, error) {
	if err := s.permit(command); err != nil {
		return Answer{Command: command}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return Answer{Command: command}, s.late(ctx, "other commands came first")
	}
	defer func() { <-s.turn }()
	c, err := s.child(ctx)
	if err != nil {
		return Answer{Command: command}, err
	}
	return s.exchange(ctx, c, command)
}

// late is the error of a command whose context ended before it was sent.
func (s *Session) late(ctx context.Context, why string) error {
	switch {
	case s.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &timeout{fmt.Sprintf("%v: %s", ErrTimeout, why)}
	}
	return ctx.Err()
}

// permit refuses what must not be sent, or would be answered wrongly.
func (s *Session) permit(command string) error {
	if err := checkLine(command); err != nil {
		return err
	}
	if !s.cfg.Unsafe {
		if err := Check(command); err != nil {
			return err
		}
	}
	if d, bad := spoiled(command, s.Doubts); bad && !s.cfg.Spoiled {
		return fmt.Errorf("%w: %s", ErrSpoiled, d.Text)
	}
	return nil
}

// child is the one that runs, or a new one. The caller has the turn.
func (s *Session) child(ctx context.Context) (*child, error) {
	if s.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if s.now == nil {
		s.now = s.begin(nil)
	}
	select {
	case <-s.now.ready:
	case <-ctx.Done():
		return nil, s.late(ctx, "it is starting again")
	}
	in := s.now
	if in.err != nil {
		s.now = nil
		return nil, in.err
	}
	if !in.child.alive() {
		s.now = s.begin(in.child)
		return s.child(ctx)
	}
	return in.child, nil
}

// exchange asks, and sees to it that the next one can.
func (s *Session) exchange(ctx context.Context, c *child, command string) (Answer, error) {
	mark, begin := c.errs.mark(), time.Now()
	out, err := c.ask(ctx, command, s.cfg.MaxOutput)
	if err != nil && !errors.Is(err, errUnsent) && (s.ctx.Err() != nil || !c.recover(err)) {
		s.now = s.begin(c) // the next command need not wait for all of it
	}
	a := newAnswer(command, out)
	a.Stderr, a.Mode, a.Took = c.errs.since(mark), s.Mode, time.Since(begin)
	switch {
	case err == nil:
		err = a.failed()
	case s.ctx.Err() != nil:
		err = ErrClosed
	case errors.Is(err, errDied):
		err = fmt.Errorf("%w: %s: %s", ErrDied, command, c.end())
	case errors.Is(err, errTooLong):
		err = fmt.Errorf("%w: %s: more than %d bytes", ErrTooLong, command, s.cfg.MaxOutput)
	case errors.Is(err, errDeadline):
		err = &timeout{fmt.Sprintf("%v: %s", ErrTimeout, command)}
	}
	return a, err
}

// timeout is ErrTimeout, and context.DeadlineExceeded without its words.
type timeout struct{ text string }

func (e *timeout) Error() string { return e.text }

func (e *timeout) Unwrap() []error { return []error{ErrTimeout, context.DeadlineExceeded} }

// Result is one of RunEach's.
type Result struct {
	Answer
	Err error
}

// RunEach runs commands one after the other. A command that fails does not keep the others
// from running; a context that ends does.
func (s *Session) RunEach(ctx context.Context, commands []string) []Result {
	list := make([]Result, 0, len(commands))
	for _, c := range commands {
		a, err := s.Run(ctx, c)
		list = append(list, Result{a, err})
		if ctx.Err() != nil {
			break
		}
	}
	return list
}

// Close ends crash and removes what the session made. A command that runs is ended with it,
// and those that wait get ErrClosed.
func (s *Session) Close() error {
	s.once.Do(func() {
		s.cancel()
		s.turn <- struct{}{} // and never gives it back
		if s.now != nil {
			<-s.now.ready
			if s.now.child != nil {
				s.now.child.quit()
			}
		}
		s.work.Wait()
		s.closed = os.RemoveAll(s.dir)
	})
	return s.closed
}
