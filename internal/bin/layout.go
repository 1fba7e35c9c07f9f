package bin

import (
	"encoding/binary"
	"fmt"

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

// Size is the number of bytes that the structure of the given version takes.
func (l Layout[T]) Size(abi ABI, version int) int {
	end, widest := 0, 1
	for _, f := range l.Fields {
		if f.Since > version {
			continue
		}
		size, align := f.Kind.size(abi)
		if f.Kind == Bytes {
			size = f.Len
		}
		end = roundUp(end, align) + size
		widest = max(widest, align)
	}
	return roundUp(end, widest)
}

// Offset is the offset of a member in the structure of the given version; ok is false
// when that version has no such member.
func (l Layout[T]) Offset(abi ABI, version int, name string) (off int, ok bool) {
	end := 0
	for _, f := range l.Fields {
		if f.Since > version {
			continue
		}
		size, align := f.Kind.size(abi)
		if f.Kind == Bytes {
			size = f.Len
		}
		off = roundUp(end, align)
		if f.Name == name {
			return off, true
		}
		end = off + size
	}
	return 0, false
}

// Decode reads the members that the given version has. A structure cut short is an
// error that wraps phys.ErrLost; the members before the cut are set.
func (l Layout[T]) Decode(b []byte, abi ABI, version int) (T, error) {
	var v T
	end := 0
	for _, f := range l.Fields {
		if f.Since > version {
			continue
		}
		size, align := f.Kind.size(abi)
		if f.Kind == Bytes {
			size = f.Len
		}
		off := roundUp(end, align)
		end = off + size
		if end > len(b) {
			return v, &DecodeError{l.Name + "." + f.Name, int64(off), fmt.Errorf("only %d bytes: %w", len(b), phys.ErrLost)}
		}
		if f.Kind == Bytes {
			f.Text(&v, b[off:end])
		} else {
			f.Set(&v, Uint(b[off:end], abi.Order))
		}
	}
	return v, nil
}

func roundUp(n, align int) int { return (n + align - 1) &^ (align - 1) }
