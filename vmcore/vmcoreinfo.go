package vmcore

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/kautopsy/kautopsy/phys"
)

// VMCoreInfo is what the kernel wrote about itself for those who will read its dump: a
// text of KEY=VALUE lines (kernel/vmcore_info.c). It is immutable.
type VMCoreInfo struct {
	Origin string // where it was found: "note", "sub header", "memory at 0x…", "file"
	text   []byte
	keys   []string // in the order of the text
	values map[string]string
}

// ErrNoVMCoreInfo: the dump has no VMCOREINFO and none was found in its memory. The way
// out is to give one: Options.VMCoreInfo.
var ErrNoVMCoreInfo = errors.New("no VMCOREINFO in the dump")

// ParseVMCoreInfo reads the text of a VMCOREINFO note. Lines without "=" are passed over;
// of a key that comes twice the last counts (two CRASHTIME lines: crashed in the crash
// path). A text with neither OSRELEASE nor PAGESIZE is refused.
func ParseVMCoreInfo(text []byte) (*VMCoreInfo, error) {
	text = bytes.TrimRight(text, "\x00")
	v := &VMCoreInfo{text: text, values: make(map[string]string)}
	for line := range bytes.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimRight(string(line), "\r\n"), "=")
		if !ok || key == "" {
			continue
		}
		if _, again := v.values[key]; !again {
			v.keys = append(v.keys, key)
		}
		v.values[key] = value
	}
	if v.values["OSRELEASE"] == "" && v.PageSize() == 0 {
		return nil, fmt.Errorf("VMCOREINFO without OSRELEASE and PAGESIZE: %w", phys.ErrCorrupt)
	}
	return v, nil
}

// Text is the note as the kernel wrote it.
func (v *VMCoreInfo) Text() []byte { return v.text }

// All yields the keys and values in the order of the text.
func (v *VMCoreInfo) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, k := range v.keys {
			if !yield(k, v.values[k]) {
				return
			}
		}
	}
}

// Value is the text behind KEY=.
func (v *VMCoreInfo) Value(key string) (string, bool) {
	s, ok := v.values[key]
	return s, ok
}

// Symbol is SYMBOL(name): an address, written in base 16 without 0x.
func (v *VMCoreInfo) Symbol(name string) (uint64, bool) { return v.hex("SYMBOL(" + name + ")") }

// Hex is the value of a bare key in base 16: KERNELOFFSET, IDENTITYBASE, ….
func (v *VMCoreInfo) Hex(key string) (uint64, bool) { return v.hex(key) }

func (v *VMCoreInfo) hex(key string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(v.values[key], "0x"), 16, 64)
	return n, err == nil
}

// Number is NUMBER(name): signed decimal from the kernel's macro, 0x and hexadecimal where
// architecture code writes the line by hand.
func (v *VMCoreInfo) Number(name string) (int64, bool) { return v.number("NUMBER(" + name + ")") }

// Offset is OFFSET(struct.member), in bytes.
func (v *VMCoreInfo) Offset(member string) (int64, bool) { return v.number("OFFSET(" + member + ")") }

// Size is SIZE(struct), in bytes.
func (v *VMCoreInfo) Size(name string) (int64, bool) { return v.number("SIZE(" + name + ")") }

// Length is LENGTH(array), in elements.
func (v *VMCoreInfo) Length(name string) (int64, bool) { return v.number("LENGTH(" + name + ")") }

func (v *VMCoreInfo) number(key string) (int64, bool) {
	s := v.values[key]
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		n, err := strconv.ParseUint(hex, 16, 64)
		return int64(n), err == nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// Release is OSRELEASE, as uname -r prints it.
func (v *VMCoreInfo) Release() string { return v.values["OSRELEASE"] }

// BuildID is the kernel's build id in base 16, "" when the note has none or it is not
// plausible: 5.15.168, 6.1.113 and others wrote garbage there.
func (v *VMCoreInfo) BuildID() string {
	id := v.values["BUILD-ID"]
	if len(id) != 40 || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}

// PageSize is the kernel's page size, 0 if the text does not say or says nonsense.
func (v *VMCoreInfo) PageSize() int {
	n, ok := v.number("PAGESIZE")
	if !ok || n < 1024 || n > 1<<20 || n&(n-1) != 0 {
		return 0
	}
	return int(n)
}

// CrashTime is when the kernel crashed; ok is false when it did not write it: it did not
// go through its own crash path, so the dump was taken from outside.
func (v *VMCoreInfo) CrashTime() (t time.Time, ok bool) {
	n, ok := v.number("CRASHTIME")
	if !ok || n <= 0 {
		return time.Time{}, false
	}
	return time.Unix(n, 0).UTC(), true
}
