package debuginfo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// An RPM package (rpm's docs/manual/format_*.md), its integers with the high byte first:
//
//	lead (96) | signature, pad to 8 | header | payload: cpio, packed
//
//	header   magic 8e ad e8 01 | 0 (4) | entries (4) | bytes of the store (4) | entries | store
//	entry    tag (4) | type (4) | offset in the store (4) | count (4)
const (
	rpmLead        = 96
	rpmIntro       = 16
	rpmEntry       = 16
	rpmHeaderMagic = "\x8e\xad\xe8\x01"
	maxRPMHeader   = 64 << 20
)

// Tags of the file list.
const (
	rpmDirIndexes = 1116
	rpmBaseNames  = 1117
	rpmDirNames   = 1118
)

// rpmHeader is a header structure.
type rpmHeader struct {
	entries, store []byte
}

// readRPM passes over the lead and the signature, and reads the header.
func readRPM(r *bufio.Reader) (*rpmHeader, error) {
	if _, err := r.Discard(rpmLead); err != nil {
		return nil, fmt.Errorf("rpm: %w", cut(err))
	}
	signature, err := readRPMHeader(r)
	if err != nil {
		return nil, err
	}
	if _, err := r.Discard(-len(signature.store) & 7); err != nil {
		return nil, fmt.Errorf("rpm: %w", cut(err))
	}
	return readRPMHeader(r)
}

func readRPMHeader(r *bufio.Reader) (*rpmHeader, error) {
	var intro [rpmIntro]byte
	if _, err := io.ReadFull(r, intro[:]); err != nil {
		return nil, fmt.Errorf("rpm header: %w", cut(err))
	}
	be := binary.BigEndian
	n, size := int64(be.Uint32(intro[8:])), int64(be.Uint32(intro[12:]))
	switch {
	case string(intro[:4]) != rpmHeaderMagic:
		return nil, fmt.Errorf("rpm header: %w", phys.ErrCorrupt)
	case n*rpmEntry+size > maxRPMHeader:
		return nil, fmt.Errorf("rpm header of %d bytes: %w", n*rpmEntry+size, phys.ErrLimit)
	}
	var all bytes.Buffer // grows with what is there
	if _, err := io.CopyN(&all, r, n*rpmEntry+size); err != nil {
		return nil, fmt.Errorf("rpm header: %w", cut(err))
	}
	return &rpmHeader{all.Bytes()[:n*rpmEntry], all.Bytes()[n*rpmEntry:]}, nil
}

// find gives the store from where a tag's values begin, and how many there are.
func (h *rpmHeader) find(tag uint32) ([]byte, int) {
	be := binary.BigEndian
	for e := h.entries; len(e) >= rpmEntry; e = e[rpmEntry:] {
		if off := be.Uint32(e[8:]); be.Uint32(e) == tag && int64(off) < int64(len(h.store)) {
			return h.store[off:], int(be.Uint32(e[12:]))
		}
	}
	return nil, 0
}

// texts are the values of a tag that holds strings.
func (h *rpmHeader) texts(tag uint32) (list []string) {
	b, n := h.find(tag)
	for range n {
		if len(b) == 0 {
			break
		}
		s := bin.CString(b)
		list = append(list, s)
		b = b[min(len(s)+1, len(b)):]
	}
	return list
}

// rpmNames lists the files of a package from its header.
func rpmNames(r *bufio.Reader) ([]string, error) {
	h, err := readRPM(r)
	if err != nil {
		return nil, err
	}
	dirs := h.texts(rpmDirNames)
	index, n := h.find(rpmDirIndexes)
	names := h.texts(rpmBaseNames)
	for i := range names {
		if i >= n || len(index) < 4*i+4 {
			break
		}
		if d := binary.BigEndian.Uint32(index[4*i:]); int64(d) < int64(len(dirs)) {
			names[i] = strings.TrimPrefix(dirs[d], "/") + names[i]
		}
	}
	return names, nil
}

// rpmFiles walks the files of a package.
func rpmFiles(r *bufio.Reader) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		_, err := readRPM(r)
		var payload *stream
		if err == nil {
			payload, err = unpacked(r)
		}
		if err != nil {
			yield(member{}, err)
			return
		}
		for m, err := range cpioFiles(payload) {
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// The cpio format "newc" (cpio(5)): a header in hexadecimal digits, name and data each
// filled up to 4 bytes.
//
//	0         6     14     22    30    38      46      54         62 …             94         102     110
//	| "070701" | ino | mode | uid | gid | nlink | mtime | filesize | dev, rdev (4) | namesize | check | name | data
const (
	cpioHeader = 110
	cpioEnd    = "TRAILER!!!"
	maxName    = 4096
)

// cpioFiles walks the regular files of a cpio archive. Of files that are hard links the
// last one has the data.
func cpioFiles(r *stream) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		for {
			m, mode, err := cpioNext(r)
			if err != nil {
				yield(member{}, fmt.Errorf("cpio: %w", err))
				return
			}
			if m.name == cpioEnd {
				return
			}
			body := &io.LimitedReader{R: r, N: m.size}
			m.Reader = body
			if mode>>12 == 8 && m.size > 0 && !yield(m, nil) {
				return
			}
			if _, err := r.Seek(body.N+-m.size&3, io.SeekCurrent); err != nil {
				yield(member{}, unpackError("cpio", err))
				return
			}
		}
	}
}

// cpioNext reads a header and the name behind it.
func cpioNext(r io.Reader) (m member, mode uint64, err error) {
	var h [cpioHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return m, 0, unpackError("header", err)
	}
	field := func(i int) uint64 {
		v, ferr := strconv.ParseUint(string(h[6+8*i:14+8*i]), 16, 32)
		if ferr != nil {
			err = fmt.Errorf("header: %w", phys.ErrCorrupt)
		}
		return v
	}
	switch magic := string(h[:6]); magic {
	case "070701", "070702":
	case "07070X": // files of 4 GiB and more: the sizes stand in rpm's header
		return m, 0, fmt.Errorf("stripped headers: %w", phys.ErrUnsupported)
	default:
		return m, 0, fmt.Errorf("header begins with %q: %w", magic, phys.ErrCorrupt)
	}
	mode, m.size = field(1), int64(field(6))
	n := field(11)
	if err != nil || n == 0 || n > maxName {
		return m, 0, fmt.Errorf("header: %w", phys.ErrCorrupt)
	}
	name := make([]byte, n+-(cpioHeader+n)&3)
	if _, err := io.ReadFull(r, name); err != nil {
		return m, 0, unpackError("name", err)
	}
	m.name = strings.TrimPrefix(bin.CString(name), "./")
	return m, mode, nil
}
