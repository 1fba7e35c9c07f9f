package kernel

import (
	"cmp"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Object is a value in the kernel's memory: a type and where it lies. Nothing is read
// before it is asked for.
//
// The questions take paths of members, "thread.sp", and read the first of them that the
// type has: that is how one question fits kernels that differ. Without a path the object
// itself is read. Errors wrap symbols.ErrNoMember or a reason of package phys, and say
// which member of what, where.
type Object struct {
	Type *symbols.Type
	Addr uint64
	k    *Kernel
	m    symbols.Member // the type, or the bitfield of it that the object is
}

// Object is a value of that type at that address.
func (k *Kernel) Object(t *symbols.Type, addr uint64) Object {
	return Object{Type: t, Addr: addr, k: k, m: t.Whole()}
}

// errNoObject: the zero Object, what comes with an error, has nothing to read.
var errNoObject = fmt.Errorf("no object: %w", symbols.ErrNoType)

// Member is a part of the object.
func (o Object) Member(paths ...string) (Object, error) {
	if o.k == nil || o.Type == nil {
		return Object{}, errNoObject
	}
	if len(paths) == 0 {
		return o, nil
	}
	m, err := o.Type.OneOf(paths...)
	if err != nil {
		return Object{}, err
	}
	off, _ := m.Bytes()
	m.Offset %= 8
	return Object{Type: m.Type(), Addr: o.k.clip(o.Addr + off), k: o.k, m: m}, nil
}

// clip cuts an address to the width of a pointer.
func (k *Kernel) clip(va uint64) uint64 {
	if k.ptrSize() == 4 {
		return uint64(uint32(va))
	}
	return va
}

// Has tells whether the type has a member.
func (o Object) Has(path string) bool {
	if o.Type == nil {
		return false
	}
	_, err := o.Type.Member(path)
	return err == nil
}

// maxScalar is what an integer takes at most: a bitfield of 64 bits can lie in 9 bytes.
const maxScalar = 9

// scalar reads the bytes of an integer, pointer, enum or bitfield.
func (o Object) scalar(buf *[maxScalar]byte, paths []string) (Object, []byte, error) {
	at, err := o.Member(paths...)
	if err != nil {
		return at, nil, err
	}
	_, size := at.m.Bytes()
	switch t := at.Type.Underlying(); t.Kind {
	case symbols.KindInvalid:
		return at, nil, at.wrap(t.Err())
	case symbols.KindInt, symbols.KindPointer, symbols.KindEnum:
		if size > 0 && size <= 8 && (size&(size-1) == 0 || at.m.Bits > 0) || size == maxScalar && at.m.Bits > 0 {
			break
		}
		return at, nil, at.wrap(fmt.Errorf("an integer of %d bytes: %w", size, phys.ErrUnsupported))
	default:
		return at, nil, at.wrap(fmt.Errorf("%v is no integer: %w", at.Type, phys.ErrUnsupported))
	}
	if _, err := o.k.ReadVirt(buf[:size], at.Addr); err != nil {
		return at, nil, at.wrap(err)
	}
	return at, buf[:size], nil
}

// wrap says which object an error is about.
func (o Object) wrap(err error) error {
	if o.m.Name == "" {
		return fmt.Errorf("%v at %#x: %w", o.Type, o.Addr, err)
	}
	return fmt.Errorf("%s at %#x: %w", o.m.Name, o.Addr, err)
}

// Uint reads an unsigned integer, an enum or a pointer.
func (o Object) Uint(paths ...string) (uint64, error) {
	var buf [maxScalar]byte
	at, p, err := o.scalar(&buf, paths)
	if err != nil {
		return 0, err
	}
	return at.m.Uint(p, o.k.dump.Header.Order), nil
}

// Int reads an integer with the sign that its type has.
func (o Object) Int(paths ...string) (int64, error) {
	var buf [maxScalar]byte
	at, p, err := o.scalar(&buf, paths)
	if err != nil {
		return 0, err
	}
	return at.m.Int(p, o.k.dump.Header.Order), nil
}

// Pointer reads a pointer; NULL is 0 and no error.
func (o Object) Pointer(paths ...string) (uint64, error) {
	at, err := o.Member(paths...)
	if err != nil {
		return 0, err
	}
	if t := at.Type.Underlying(); t.Kind != symbols.KindPointer && t.Err() == nil {
		return 0, at.wrap(fmt.Errorf("%v is no pointer: %w", at.Type, phys.ErrUnsupported))
	}
	return at.Uint()
}

// Follow is the object that a pointer leads to. A NULL pointer is phys.ErrUnmapped.
func (o Object) Follow(paths ...string) (Object, error) {
	at, err := o.Member(paths...)
	if err != nil {
		return Object{}, err
	}
	va, err := at.Pointer()
	if err != nil {
		return Object{}, err
	}
	if va == 0 {
		return Object{}, at.wrap(fmt.Errorf("NULL: %w", phys.ErrUnmapped))
	}
	return o.k.Object(at.Type.Underlying().Elem(), va), nil
}

// Index is an element of an array, or of what a pointer leads to. The number of elements is
// not asked where the type does not have it.
func (o Object) Index(i uint64) (Object, error) {
	if o.k == nil || o.Type == nil {
		return Object{}, errNoObject
	}
	t := o.Type.Underlying()
	if t.Kind == symbols.KindPointer {
		first, err := o.Follow()
		if err != nil {
			return Object{}, err
		}
		return o.k.Object(first.Type, o.k.clip(first.Addr+i*first.Type.Size())), nil
	}
	if t.Kind != symbols.KindArray || t.Count > 0 && i >= t.Count {
		return Object{}, o.wrap(fmt.Errorf("element %d of %v: %w", i, o.Type, symbols.ErrNoMember))
	}
	return o.k.Object(t.Elem(), o.k.clip(o.Addr+i*t.Elem().Size())), nil
}

// Bytes reads all bytes of an object of at most 1 MiB.
func (o Object) Bytes(paths ...string) ([]byte, error) {
	const most = 1 << 20
	at, err := o.Member(paths...)
	if err != nil {
		return nil, err
	}
	size := at.Type.Size()
	if size > most {
		return nil, at.wrap(fmt.Errorf("%d bytes: %w", size, phys.ErrLimit))
	}
	p := make([]byte, size)
	n, err := o.k.ReadVirt(p, at.Addr)
	if err != nil {
		return p[:n], at.wrap(err)
	}
	return p, nil
}

// Text reads a string: an array of characters to its first NUL, or what a char pointer or a
// flexible array leads to, of which at most 4 KiB are looked at. A NULL pointer is "".
func (o Object) Text(paths ...string) (string, error) {
	at, err := o.Member(paths...)
	if err != nil {
		return "", err
	}
	va := at.Addr
	switch t := at.Type.Underlying(); {
	case t.Kind == symbols.KindPointer:
		if va, err = at.Pointer(); err != nil || va == 0 {
			return "", err
		}
	case t.Size() > 0 || t.Kind != symbols.KindArray:
		p, err := at.Bytes()
		return bin.CString(p), err
	}
	s, err := o.k.text(va)
	if err != nil {
		return s, at.wrap(err)
	}
	return s, nil
}

// maxText bounds a string.
const maxText = 4096

// text reads a string at va up to its NUL. What is absent behind the NUL does no harm.
func (k *Kernel) text(va uint64) (string, error) {
	p := make([]byte, 0, 64)
	for len(p) < maxText {
		at := va + uint64(len(p))
		part := p[len(p) : len(p)+int(min(uint64(cap(p)-len(p)), 64-at%64))]
		n, err := k.ReadVirt(part, at)
		p = p[:len(p)+n]
		if s := bin.CString(p); len(s) < len(p) || err != nil {
			if len(s) < len(p) {
				err = nil
			}
			return s, err
		}
		if len(p) == cap(p) {
			p = append(p, make([]byte, len(p))...)[:len(p)]
		}
	}
	return string(p), fmt.Errorf("no end within %d bytes: %w", maxText, phys.ErrLimit)
}

// Fields reads many members of one object, and is asked for errors once. A member that
// could not be read is 0 or "", and does not keep the others from being read.
type Fields struct {
	o   Object
	err error
}

// Fields begins to read members.
func (o Object) Fields() *Fields { return &Fields{o: o} }

// Uint reads as Object.Uint does.
func (f *Fields) Uint(paths ...string) uint64 { return keep(f, f.o.Uint, paths) }

// Int reads as Object.Int does.
func (f *Fields) Int(paths ...string) int64 { return keep(f, f.o.Int, paths) }

// Pointer reads as Object.Pointer does.
func (f *Fields) Pointer(paths ...string) uint64 { return keep(f, f.o.Pointer, paths) }

// Text reads as Object.Text does.
func (f *Fields) Text(paths ...string) string { return keep(f, f.o.Text, paths) }

func keep[T any](f *Fields, read func(...string) (T, error), paths []string) T {
	v, err := read(paths...)
	if err != nil {
		f.err = cmp.Or(f.err, err)
	}
	return v
}

// Err is why the first of what could not be read could not, nil if all was.
func (f *Fields) Err() error { return f.err }
