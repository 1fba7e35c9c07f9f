package dwarf

import (
	"cmp"
	"slices"
	"sort"

	"github.com/kautopsy/kautopsy/phys"
)

// lineRow is where the code of a line begins; it ends where the next row begins.
type lineRow struct {
	addr uint64
	file uint32 // of lines.files
	line uint32
	col  uint32
}

// lineRun is a run of rows with ascending addresses: a sequence of the program.
type lineRun struct {
	Range
	rows []lineRow
}

// lines is the line table of a unit.
type lines struct {
	files []string // paths, see lineHeader.name
	runs  []lineRun
}

const maxLineRows = 1 << 22 // 30,000 in the largest unit of a 6.1 kernel

// Sizes for the cache's bound.
const (
	rowBytes  = 24
	fileBytes = 64
)

// lines decodes the unit's line table, or takes it from the cache of the file. A unit
// without lines has an empty one.
func (u *Unit) lines() (*lines, error) {
	root, err := u.Root()
	if err != nil {
		return nil, err
	}
	if root.Lines < 0 {
		return &lines{}, nil
	}
	return u.f.lines.get(unitKey{u.f, u.Off}, func() (*lines, int64, error) {
		t, err := u.readLines(root)
		if err != nil {
			return nil, 0, err
		}
		cost := int64(len(t.files)) * fileBytes
		for _, run := range t.runs {
			cost += int64(cap(run.rows)) * rowBytes
		}
		return t, cost, nil
	})
}

func (u *Unit) readLines(root *Root) (t *lines, err error) {
	s := u.f.section(".debug_line")
	head, err := s.buf(root.Lines, 12)
	if err != nil {
		return nil, err
	}
	n, _ := head.length()
	if head.err != nil {
		return nil, head.err
	}
	r, err := s.buf(root.Lines, int64(min(n, maxPiece))+int64(head.at))
	if err != nil {
		return nil, err
	}
	h, end := u.readLineHeader(&r)
	if r.err != nil {
		return nil, r.err
	}
	t = &lines{files: make([]string, len(h.files))}
	names := 0
	for i := range h.files {
		t.files[i] = h.name(uint64(i), root.CompDir)
		if names += len(t.files[i]); names > maxLineNames {
			return nil, wrong(s.name, root.Lines, phys.ErrLimit, "more than %d bytes of file names", maxLineNames)
		}
	}
	r.b = r.b[:end]
	m := lineMachine{h: &h, r: &r, out: t}
	for m.reset(); r.at < len(r.b) && r.err == nil; {
		m.step()
	}
	slices.SortStableFunc(t.runs, func(a, b lineRun) int { return cmp.Compare(a.Low, b.Low) })
	return t, r.err
}

// lineMachine runs a line program (DWARF 5 section 6.2.5). What of its state nobody asks for
// is not kept.
type lineMachine struct {
	h   *lineHeader
	r   *buf
	out *lines

	row  lineRow
	line int64 // of row, while it may be negative
	rows []lineRow
	all  int
}

// reset begins a sequence.
func (m *lineMachine) reset() {
	m.row, m.line, m.rows = lineRow{file: 1}, 1, nil
}

// step runs one opcode.
func (m *lineMachine) step() {
	switch op := m.r.u8(); {
	case op >= m.h.opcodeBase: // special: both advance, and a row
		adj := uint64(op - m.h.opcodeBase)
		m.row.addr += m.h.minInst * (adj / m.h.lineRange)
		m.line += m.h.lineBase + int64(adj%m.h.lineRange)
		m.emit()
	case op == 0:
		m.extended()
	default:
		m.standard(op)
	}
}

// standard runs a DW_LNS_* opcode.
func (m *lineMachine) standard(op uint8) {
	switch op {
	case 1: // copy
		m.emit()
	case 2: // advance_pc
		m.row.addr += m.h.minInst * m.r.uleb()
	case 3: // advance_line
		m.line += m.r.sleb()
	case 4: // set_file
		m.row.file = uint32(min(m.r.uleb(), 1<<32-1))
	case 5: // set_column
		m.row.col = uint32(min(m.r.uleb(), 1<<32-1))
	case 6, 7, 10, 11: // negate_stmt, set_basic_block, set_prologue_end, set_epilogue_begin
	case 8: // const_add_pc
		m.row.addr += m.h.minInst * (uint64(255-m.h.opcodeBase) / m.h.lineRange)
	case 9: // fixed_advance_pc
		m.row.addr += uint64(m.r.u16())
	default: // set_isa, and what is not known: the header says how many operands it has
		for n := m.h.lengths[op-1]; n > 0 && m.r.err == nil; n-- {
			m.r.uleb()
		}
	}
}

// extended runs a DW_LNE_* opcode.
func (m *lineMachine) extended() {
	n := m.r.uleb()
	p := m.r.take(n)
	if len(p) == 0 {
		return
	}
	switch p[0] {
	case 1: // end_sequence
		m.end()
	case 2: // set_address
		a := buf{what: m.r.what, b: p[1:], order: m.r.order}
		m.row.addr = a.uint(min(len(p)-1, m.h.addrSize))
	case 3: // define_file, until version 4
		a := buf{what: m.r.what, b: p[1:], order: m.r.order}
		if m.h.version < 5 && len(m.h.files) < maxLineFiles && m.h.oldFile(&a) {
			m.out.files = append(m.out.files, m.h.name(uint64(len(m.h.files)-1), ""))
		}
	}
}

// emit adds a row. Of rows at one address the last counts, as for addr2line and drgn: those
// before it have no code.
func (m *lineMachine) emit() {
	m.row.line = uint32(max(m.line, 0))
	n := len(m.rows)
	switch {
	case n > 0 && m.rows[n-1].addr == m.row.addr:
		m.rows[n-1] = m.row
		return
	case m.all == maxLineRows:
		m.r.fail(phys.ErrLimit, "more than %d rows", maxLineRows)
		return
	}
	m.all++
	m.rows = append(m.rows, m.row)
}

// end closes a sequence. Addresses must ascend in it; where they do not it is put in order.
func (m *lineMachine) end() {
	byAddr := func(a, b lineRow) int { return cmp.Compare(a.addr, b.addr) }
	if !slices.IsSortedFunc(m.rows, byAddr) {
		slices.SortStableFunc(m.rows, byAddr)
	}
	if len(m.rows) > 0 && m.rows[0].addr < m.row.addr {
		m.out.runs = append(m.out.runs, lineRun{Range{m.rows[0].addr, m.row.addr}, m.rows})
	}
	m.reset()
}

// find gives the row of an address.
func (t *lines) find(addr uint64) (lineRow, bool) {
	i := sort.Search(len(t.runs), func(i int) bool { return t.runs[i].Low > addr }) - 1
	if i < 0 || !t.runs[i].Has(addr) {
		return lineRow{}, false
	}
	rows := t.runs[i].rows
	k := sort.Search(len(rows), func(k int) bool { return rows[k].addr > addr }) - 1
	return rows[k], true
}

// file is the path of a file of the table, "" when it has none of that number.
func (t *lines) file(i uint64) string {
	if i < uint64(len(t.files)) {
		return t.files[i]
	}
	return ""
}
