package vmcore

import (
	"slices"
	"sync"
	"syscall"

	"github.com/kautopsy/kautopsy/phys"
)

const (
	// windowBytes of a file are mapped at once for those who read all of it.
	windowBytes = 4 << 20
	// windowMore is mapped behind a window: what begins in it and is no longer is whole.
	windowMore = 256 << 10
	// idleWindows stay mapped for those who come next: to the data and to what describes it.
	idleWindows = 3
	// forgetAfter windows, what single reads touched in the whole mapping is given back.
	forgetAfter = 64
)

// windows are the pieces of a file that are looked at just now. A walk over a file has a
// few of them at a time, and so takes no more memory for a long file than for a short one.
type windows struct {
	mu     sync.Mutex
	open   []*window // the one that was asked for last stands last
	opened int
}

// window is one of them. It is a phys.View.
type window struct {
	file  *mappedFile
	off   int64
	mem   []byte
	users int
}

// View shows a part of the file where it lies; see phys.Viewer. The page of the last byte is
// not shown, see mappedFile.
func (m *mappedFile) View(off int64, n int) ([]byte, phys.View) {
	if n > windowMore || off < 0 || off > m.most-int64(n) {
		return nil, nil
	}
	m.windows.mu.Lock()
	defer m.windows.mu.Unlock()
	w := m.window(off &^ (windowBytes - 1))
	if w == nil {
		return nil, nil
	}
	w.users++
	return w.mem[off-w.off:][:n], w
}

// window finds or maps the window at off; nil if it cannot be mapped.
func (m *mappedFile) window(off int64) *window {
	s := &m.windows
	for i, w := range s.open {
		if w.off == off {
			copy(s.open[i:], s.open[i+1:])
			s.open[len(s.open)-1] = w
			return w
		}
	}
	s.shrink(idleWindows - 1)
	if s.opened++; s.opened%forgetAfter == 0 {
		_ = syscall.Madvise(m.mem, syscall.MADV_DONTNEED)
	}
	n := min(windowBytes+windowMore, m.most-off)
	mem, err := syscall.Mmap(int(m.Fd()), off, int(n), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	w := &window{file: m, off: off, mem: mem}
	s.open = append(s.open, w)
	return w
}

// shrink unmaps windows that nobody looks at, the oldest ones first, but for a few.
func (s *windows) shrink(keep int) {
	idle := 0
	for _, w := range s.open {
		if w.users == 0 {
			idle++
		}
	}
	s.open = slices.DeleteFunc(s.open, func(w *window) bool {
		if w.users > 0 || idle <= keep {
			return false
		}
		idle--
		_ = syscall.Munmap(w.mem)
		return true
	})
}

// Whole tells whether the file still has its last byte.
func (w *window) Whole() bool { return w.file.whole() }

// Release ends a View.
func (w *window) Release() {
	w.file.windows.mu.Lock()
	defer w.file.windows.mu.Unlock()
	w.users--
}
