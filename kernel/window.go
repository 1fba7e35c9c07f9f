package kernel

// window reads memory that is walked in order: it reads ahead, so that a thousand small
// records cost a few reads of the dump.
type window struct {
	k   *Kernel
	va  uint64
	b   []byte
	buf []byte
}

// windowBytes is how much a window reads at once.
const windowBytes = 32 << 10

// get gives n bytes at va; they are valid until the next get. Where reading ahead meets an
// absence just these n bytes are tried, so a record fails only by its own memory: n then is
// what there is of it.
func (w *window) get(va uint64, n int) ([]byte, error) {
	if va >= w.va && va-w.va <= uint64(len(w.b)) && uint64(n) <= uint64(len(w.b))-(va-w.va) {
		return w.b[va-w.va:][:n], nil
	}
	if cap(w.buf) < max(n, windowBytes) {
		w.buf = make([]byte, max(n, windowBytes))
	}
	got, err := w.k.ReadVirt(w.buf[:cap(w.buf)], va)
	w.va, w.b = va, w.buf[:got]
	if got >= n {
		return w.b[:n], nil
	}
	return w.b, err
}
