package bin

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/phys"
)

// ABI is what decides the offsets of a C structure's members.
type ABI struct {
	Order   binary.ByteOrder
	Long    int // size and alignment of long and of pointers: 4 or 8
	Align64 int // alignment of 64-bit integers: 8, or 4 on i386 and in packed structures
}

// Kind is the C type of a member.
type Kind uint8

// The kinds of members. Ulong is as wide as the ABI's long; Bytes is an array of the
// field's own Len.
const (
	U8 Kind = iota
	U16
	U32
	U64
	Ulong
	Bytes
)

func (k Kind) size(abi ABI) (size, align int) {
	switch k {
	case U8, Bytes:
		return 1, 1
	case U16:
		return 2, 2
	case U32:
		return 4, 4
	case U64:
		return 8, abi.Align64
	}
	return abi.Long, abi.Long
}

// Field is one member of a structure: its C name, its type, the first version of the
// structure that has it, and where its value goes.
type Field[T any] struct {
	Name  string
	Kind  Kind
	Since int
	Set   func(*T, uint64)
	Len   int              // number of bytes of a Bytes member
	Text  func(*T, []byte) // for Bytes members
}

// Layout declares a C structure once; offsets follow from the ABI.
type Layout[T any] struct {
	Name   string
	Fields []Field[T]
}

// place is where a member lies.
type place struct{ off, size, align int }

// members gives the members that the structure of a version has, and where each lies.
func (l Layout[T]) members(abi ABI, version int) iter.Seq2[*Field[T], place] {
	return func(yield func(*Field[T], place) bool) {
		end := 0
		for i := range l.Fields {
			f := &l.Fields[i]
			if f.Since > version {
				continue
			}
			size, align := f.Kind.size(abi)
			if f.Kind == Bytes {
				size = f.Len
			}
			p := place{roundUp(end, align), size, align}
			if !yield(f, p) {
				return
			}
			end = p.off + p.size
		}
	}
}

// Size is the number of bytes that the structure of the given version takes.
func (l Layout[T]) Size(abi ABI, version int) int {
	end, widest := 0, 1
	for _, p := range l.members(abi, version) {
		end, widest = p.off+p.size, max(widest, p.align)
	}
	return roundUp(end, widest)
}

// Offset is the offset of a member in the structure of the given version; ok is false
// when that version has no such member.
func (l Layout[T]) Offset(abi ABI, version int, name string) (off int, ok bool) {
	for f, p := range l.members(abi, version) {
		if f.Name == name {
			return p.off, true
		}
	}
	return 0, false
}

// Decode reads the members that the given version has. A structure cut short is an
// error that wraps phys.ErrLost; the members before the cut are set.
func (l Layout[T]) Decode(b []byte, abi ABI, version int) (T, error) {
	var v T
	for f, p := range l.members(abi, version) {
		if p.off+p.size > len(b) {
			return v, &DecodeError{l.Name + "." + f.Name, int64(p.off), fmt.Errorf("only %d bytes: %w", len(b), phys.ErrLost)}
		}
		if part := b[p.off : p.off+p.size]; f.Kind == Bytes {
			f.Text(&v, part)
		} else {
			f.Set(&v, Uint(part, abi.Order))
		}
	}
	return v, nil
}

func roundUp(n, align int) int { return (n + align - 1) &^ (align - 1) }

// Encode makes the bytes of a structure of the given version from its members' values by
// their C names; a member without one is zero. A value that does not fit its member is
// cut.
func (l Layout[T]) Encode(abi ABI, version int, nums map[string]uint64, texts map[string]string) []byte {
	b := make([]byte, l.Size(abi, version))
	for f, p := range l.members(abi, version) {
		part := b[p.off : p.off+p.size]
		if f.Kind == Bytes {
			copy(part, texts[f.Name])
			continue
		}
		PutUint(part, nums[f.Name], abi.Order)
	}
	return b
}
