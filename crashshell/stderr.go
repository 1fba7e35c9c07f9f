package crashshell

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// stderr keeps the end of what a child says there. What crash wrote before it answered is in
// the pipe by the time its answer is read, so settle gets all of it.
type stderr struct {
	r    *os.File
	conn syscall.RawConn

	mu    sync.Mutex // also held while the pipe is read
	buf   []byte
	total int64
}

// stderrKept is how much is kept.
const stderrKept = 64 << 10

func newStderr(r *os.File) (*stderr, error) {
	conn, err := r.SyscallConn()
	return &stderr{r: r, conn: conn}, err
}

// collect reads until the pipe ends.
func (s *stderr) collect() {
	_ = s.conn.Read(s.drain)
	s.r.Close()
}

// settle reads what is in the pipe.
func (s *stderr) settle() { _ = s.conn.Control(func(fd uintptr) { s.drain(fd) }) }

// drain reads until the pipe is empty, or tells that it ended.
func (s *stderr) drain(fd uintptr) (ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b [4096]byte
	for {
		n, err := unix.Read(int(fd), b[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case n <= 0:
			return true
		}
		s.total += int64(n)
		s.buf = append(s.buf, b[:n]...)
		if over := len(s.buf) - stderrKept; over > 0 {
			s.buf = append(s.buf[:0], s.buf[over:]...)
		}
	}
}

// since is what was written behind the first n bytes, as far as it is kept.
func (s *stderr) since(n int64) []byte {
	s.settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	k := min(s.total-n, int64(len(s.buf)))
	return append([]byte{}, s.buf[int64(len(s.buf))-k:]...)
}

// mark is where since begins for what is written from now on.
func (s *stderr) mark() int64 {
	s.settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}
