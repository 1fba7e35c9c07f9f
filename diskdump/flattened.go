package diskdump

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// SignatureFlat begins a flattened stream (makedumpfile -F; QEMU's default for kdump).
const SignatureFlat = "makedumpfile\x00"

const (
	flatHeader = 4096 // fixed size of the stream's header
	flatRecord = 16   // size of a record's header
)

// Flat is the file inside a flattened stream, readable at any offset through an index
// of the stream's records; nothing is copied. It is safe for many goroutines.
type Flat struct {
	r         io.ReaderAt
	extents   []extent // ascending, disjoint
	size      int64
	truncated bool
	problems  []error
}

// extent says where n bytes of the inner file at off lie in the stream.
type extent struct {
	off, at, n int64
}

// Flatten indexes a flattened stream: one pass over its record headers. A stream without
// its end mark is read as far as it goes; Truncated tells.
func Flatten(r io.ReaderAt, size int64) (*Flat, error) {
	head, err := bin.ReadN(r, size, 0, 32, 32)
	if err != nil {
		return nil, fmt.Errorf("header of the flattened stream: %w", err)
	}
	if !bytes.HasPrefix(head, []byte(SignatureFlat)) {
		return nil, fmt.Errorf("no flattened stream: %w", phys.ErrUnsupported)
	}
	if typ, ver := binary.BigEndian.Uint64(head[16:]), binary.BigEndian.Uint64(head[24:]); typ != 1 || ver != 1 {
		return nil, fmt.Errorf("flattened stream of type %d, version %d: %w", typ, ver, phys.ErrUnsupported)
	}
	f := &Flat{r: r}
	records, err := f.readRecords(size)
	if err != nil {
		return nil, err
	}
	f.extents = resolve(records)
	for _, e := range f.extents {
		f.size = max(f.size, e.off+e.n)
	}
	return f, nil
}

// record is an extent as it came; a later one (higher seq) hides earlier ones.
type record struct {
	extent
	seq int
}

// readRecords walks the records to the end mark, or as far as the stream goes.
func (f *Flat) readRecords(size int64) (records []record, err error) {
	w := window{r: f.r, size: size}
	for at := int64(flatHeader); ; {
		h, err := w.get(at)
		if err != nil {
			return nil, err
		}
		if h == nil {
			f.cut("the stream ends at %#x without an end mark: %w", at, phys.ErrLost)
			return records, nil
		}
		off, n := int64(binary.BigEndian.Uint64(h)), int64(binary.BigEndian.Uint64(h[8:]))
		if off == -1 && n == -1 {
			return records, nil
		}
		at += flatRecord
		if off < 0 || n <= 0 || off+n < 0 {
			f.cut("record at %#x of %d bytes for offset %d: %w", at-flatRecord, n, off, phys.ErrCorrupt)
			return records, nil
		}
		have := min(n, size-at)
		if have > 0 {
			records = append(records, record{extent{off, at, have}, len(records)})
		}
		if have < n {
			f.cut("the stream ends inside a record at %#x: %w", at-flatRecord, phys.ErrLost)
			return records, nil
		}
		at += n
	}
}

func (f *Flat) cut(format string, args ...any) {
	f.truncated = true
	f.problems = append(f.problems, fmt.Errorf("flattened stream: "+format, args...))
}

// window reads record headers; many records are small, so it reads ahead.
type window struct {
	r    io.ReaderAt
	size int64
	at   int64
	b    []byte
	buf  [8192]byte
}

// get gives the record header at off; nil when the stream ends before it.
func (w *window) get(off int64) ([]byte, error) {
	if off+flatRecord > w.size {
		return nil, nil
	}
	if off < w.at || off+flatRecord > w.at+int64(len(w.b)) {
		want := min(int64(len(w.buf)), w.size-off)
		n, err := w.r.ReadAt(w.buf[:want], off)
		if n < flatRecord {
			return nil, fmt.Errorf("flattened stream at %#x: %w", off, err)
		}
		w.at, w.b = off, w.buf[:n]
	}
	return w.b[off-w.at:][:flatRecord], nil
}

// resolve turns records into disjoint extents in ascending order; where records overlap,
// the later one wins.
func resolve(records []record) []extent {
	slices.SortFunc(records, func(a, b record) int { return cmp.Or(cmp.Compare(a.off, b.off), cmp.Compare(a.seq, b.seq)) })
	out := make([]extent, 0, len(records))
	var open latest // records that reach beyond pos
	pos := int64(0)
	for i := 0; i < len(records) || len(open) > 0; {
		if len(open) == 0 {
			pos = records[i].off
		}
		for i < len(records) && records[i].off <= pos {
			open.push(records[i])
			i++
		}
		top := open[0]
		if top.off+top.n <= pos {
			open.pop()
			continue
		}
		end := top.off + top.n
		if i < len(records) && records[i].off < end {
			end = records[i].off
		}
		out = appendExtent(out, extent{pos, top.at + pos - top.off, end - pos})
		pos = end
	}
	return out
}

// appendExtent joins e to the last extent when it continues it in both files.
func appendExtent(out []extent, e extent) []extent {
	if k := len(out) - 1; k >= 0 && out[k].off+out[k].n == e.off && out[k].at+out[k].n == e.at {
		out[k].n += e.n
		return out
	}
	return append(out, e)
}

// latest is a heap of records, the one written last on top. It is no container/heap, which
// takes memory for each record that goes through it: a stream can have millions.
type latest []record

func (h *latest) push(r record) {
	*h = append(*h, r)
	q := *h
	for i := len(q) - 1; i > 0 && q[i].seq > q[(i-1)/2].seq; i = (i - 1) / 2 {
		q[i], q[(i-1)/2] = q[(i-1)/2], q[i]
	}
}

// pop takes the top away.
func (h *latest) pop() {
	q := *h
	last := len(q) - 1
	q[0] = q[last]
	q = q[:last]
	for i := 0; ; {
		top := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q[child].seq > q[top].seq {
				top = child
			}
		}
		if top == i {
			break
		}
		q[i], q[top] = q[top], q[i]
		i = top
	}
	*h = q
}

// Size is one past the highest byte that the stream wrote.
func (f *Flat) Size() int64 { return f.size }

// Truncated tells whether the stream ended before its end mark.
func (f *Flat) Truncated() bool { return f.truncated }

// Problems is the damage met while indexing; each error wraps a phys reason.
func (f *Flat) Problems() []error { return f.problems }

// find is the index of the first extent that ends behind off.
func (f *Flat) find(off int64) int {
	i, _ := slices.BinarySearchFunc(f.extents, off, func(e extent, off int64) int {
		if e.off+e.n <= off {
			return -1
		}
		return 1
	})
	return i
}

// Covered tells how many of n bytes from off on a record has written without a gap; in a
// whole stream gaps are zeros by the format and count as written.
func (f *Flat) Covered(off, n int64) int64 {
	if !f.truncated {
		return max(0, min(n, f.size-off))
	}
	at := off
	for i := f.find(off); i < len(f.extents) && at < off+n && f.extents[i].off <= at; i++ {
		at = f.extents[i].off + f.extents[i].n
	}
	return min(n, at-off)
}

// ReadAt reads the inner file. What no record wrote is zero: the writer seeks over it.
func (f *Flat) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("negative offset %d", off)
	}
	done := 0
	for i := f.find(off); done < len(p); i++ {
		if i >= len(f.extents) {
			return done, io.EOF
		}
		e := f.extents[i]
		at := off + int64(done)
		if gap := e.off - at; gap > 0 {
			n := int(min(gap, int64(len(p)-done)))
			clear(p[done : done+n])
			done += n
			at += int64(n)
		}
		if done == len(p) {
			return done, nil
		}
		n := int(min(e.off+e.n-at, int64(len(p)-done)))
		got, err := f.r.ReadAt(p[done:done+n], e.at+at-e.off)
		done += got
		if got < n {
			return done, err
		}
	}
	return done, nil
}
