package dwarf

import (
	"github.com/kautopsy/kautopsy/phys"
)

// formSize is how many bytes a value of a form takes, -1 when the value tells itself.
func (u *Unit) formSize(form Form) int {
	switch form {
	case FormFlagPresent, FormImplicitConst:
		return 0
	case FormData1, FormFlag, FormRef1, FormStrx1, FormAddrx1:
		return 1
	case FormData2, FormRef2, FormStrx2, FormAddrx2:
		return 2
	case FormStrx3, FormAddrx3:
		return 3
	case FormData4, FormRef4, FormStrx4, FormAddrx4, FormRefSup4:
		return 4
	case FormData8, FormRef8, FormRefSig8, FormRefSup8:
		return 8
	case FormData16:
		return 16
	case FormAddr:
		return u.AddrSize
	case FormStrp, FormLineStrp, FormSecOffset, FormStrpSup, FormGNURefAlt, FormGNUStrpAlt:
		return u.offSize
	case FormRefAddr:
		if u.Version == 2 {
			return u.AddrSize
		}
		return u.offSize
	}
	return -1
}

// skip passes over a value whose form has no fixed size.
func (r *buf) skip(u *Unit, form Form) {
	switch form {
	case FormBlock1:
		r.take(uint64(r.u8()))
	case FormBlock2:
		r.take(uint64(r.u16()))
	case FormBlock4:
		r.take(uint64(r.u32()))
	case FormBlock, FormExprloc:
		r.take(r.uleb())
	case FormString:
		r.text()
	case FormSdata, FormUdata, FormRefUdata, FormStrx, FormAddrx, FormLoclistx, FormRnglistx, FormGNUAddrIndex, FormGNUStrIndex:
		r.uleb()
	case FormIndirect:
		r.indirect(u)
	default:
		r.fail(phys.ErrUnsupported, "form %#x", uint32(form))
	}
}

// indirect passes over a form that stands before its value, and the value.
func (r *buf) indirect(u *Unit) {
	switch form := Form(r.uleb()); {
	case form == FormIndirect || form == FormImplicitConst:
		r.fail(phys.ErrCorrupt, "form %#x behind DW_FORM_indirect", uint32(form))
	case u.formSize(form) >= 0:
		r.take(uint64(u.formSize(form)))
	default:
		r.skip(u, form)
	}
}

// Class is what sort of value it is (DWARF 5 section 7.5.5).
type Class uint8

// The classes. ClassIndex is an index into .debug_rnglists or .debug_loclists.
const (
	ClassNone Class = iota
	ClassAddress
	ClassBlock
	ClassConstant
	ClassExpr
	ClassFlag
	ClassReference
	ClassOffset // into a section, which the attribute says
	ClassIndex
	ClassString
)

// Value is the value of an attribute. The zero Value is that of an attribute that is not
// there. Its bytes are those of the walk that gave it: valid until that goes to another unit.
type Value struct {
	u     *Unit
	form  Form
	class Class
	num   uint64 // a number of any class
	bytes []byte // of a block, an expression, a string that stands here, a 16-byte constant
}

// Form is how the value is written.
func (v Value) Form() Form { return v.form }

// Class is what sort of value it is.
func (v Value) Class() Class { return v.class }

// Uint is the number of a constant, a flag, an offset, an index or an address that is not an
// index; 0 of others. DW_FORM_data1 to data8 do not say whether they are signed.
func (v Value) Uint() uint64 { return v.num }

// Int is the number, signed as its form is: DW_FORM_data1 to data8 are extended by their
// sign, as compilers mean them where a value can be negative.
func (v Value) Int() int64 {
	switch v.form {
	case FormData1:
		return int64(int8(v.num))
	case FormData2:
		return int64(int16(v.num))
	case FormData4:
		return int64(int32(v.num))
	}
	return int64(v.num)
}

// Bytes is a block, an expression or a constant of 16 bytes, else nil.
func (v Value) Bytes() []byte { return v.bytes }

// Ref is the offset in .debug_info that a reference leads to. References into other files
// and by type signatures are phys.ErrUnsupported.
func (v Value) Ref() (int64, error) {
	switch v.form {
	case FormRef1, FormRef2, FormRef4, FormRef8, FormRefUdata:
		if v.num >= uint64(v.u.End-v.u.Off) {
			return 0, wrong(".debug_info", v.u.Off, phys.ErrCorrupt, "reference %#x leaves the unit", v.num)
		}
		return v.u.Off + int64(v.num), nil
	case FormRefAddr:
		return int64(v.num), nil
	}
	return 0, v.unsupported("reference")
}

func (v Value) unsupported(what string) error {
	off := int64(0)
	if v.u != nil {
		off = v.u.Off
	}
	return wrong(".debug_info", off, phys.ErrUnsupported, "%s by form %#x", what, uint32(v.form))
}

// Address is the address that the value is, looked up where it is an index.
func (v Value) Address() (uint64, error) {
	if v.form == FormAddr {
		return v.num, nil
	}
	if v.u == nil {
		return 0, v.unsupported("address")
	}
	r, err := v.u.Root()
	if err != nil {
		return 0, err
	}
	return v.address(r)
}

func (v Value) address(r *Root) (uint64, error) {
	switch v.form {
	case FormAddr:
		return v.num, nil
	case FormAddrx, FormAddrx1, FormAddrx2, FormAddrx3, FormAddrx4, FormGNUAddrIndex:
		return v.u.linked().indexed(".debug_addr", r.addrs, v.num, v.u.AddrSize)
	}
	return 0, v.unsupported("address")
}

// Text is the text that the value is, read from where it stands.
func (v Value) Text() (string, error) {
	switch v.form {
	case FormStrx, FormStrx1, FormStrx2, FormStrx3, FormStrx4, FormGNUStrIndex:
		r, err := v.u.Root()
		if err != nil {
			return "", err
		}
		return v.text(r)
	}
	return v.text(nil)
}

func (v Value) text(r *Root) (string, error) {
	switch v.form {
	case FormString:
		return string(v.bytes), nil
	case FormStrp:
		return v.u.f.section(".debug_str").text(v.num)
	case FormLineStrp:
		return v.u.f.section(".debug_line_str").text(v.num)
	case FormStrx, FormStrx1, FormStrx2, FormStrx3, FormStrx4, FormGNUStrIndex:
		off, err := v.u.indexed(".debug_str_offsets", r.strOffsets, v.num, v.u.offSize)
		if err != nil {
			return "", err
		}
		return v.u.f.section(".debug_str").text(off)
	}
	return "", v.unsupported("text")
}

// indexed reads element i of a table of numbers that begins at base of a section.
func (u *Unit) indexed(section string, base int64, i uint64, size int) (uint64, error) {
	s := u.f.section(section)
	if base < 0 || i > uint64(s.len()) {
		return 0, wrong(section, base, phys.ErrCorrupt, "index %d", i)
	}
	r, err := s.buf(base+int64(i)*int64(size), int64(size))
	if err != nil {
		return 0, err
	}
	return r.uint(size), r.err
}

// value decodes a value at r.
func (u *Unit) value(r *buf, af *attrForm) Value {
	v := Value{u: u, form: af.form}
	if v.form == FormIndirect {
		v.form = Form(r.uleb())
	}
	switch v.form {
	case FormAddr:
		v.class, v.num = ClassAddress, r.uint(u.AddrSize)
	case FormAddrx, FormGNUAddrIndex:
		v.class, v.num = ClassAddress, r.uleb()
	case FormAddrx1, FormAddrx2, FormAddrx3, FormAddrx4:
		v.class, v.num = ClassAddress, r.uint(u.formSize(v.form))
	case FormBlock1, FormBlock2, FormBlock4, FormBlock, FormExprloc:
		v.class, v.bytes = blockOf(r, v.form)
	case FormData1, FormData2, FormData4, FormData8:
		v.class, v.num = ClassConstant, r.uint(u.formSize(v.form))
		u.oldOffset(&v, af.attr)
	case FormData16:
		v.class, v.bytes = ClassConstant, r.take(16)
	case FormSdata:
		v.class, v.num = ClassConstant, uint64(r.sleb())
	case FormUdata:
		v.class, v.num = ClassConstant, r.uleb()
	case FormImplicitConst:
		v.class, v.num = ClassConstant, uint64(af.konst)
	case FormFlag:
		v.class, v.num = ClassFlag, uint64(r.u8())
	case FormFlagPresent:
		v.class, v.num = ClassFlag, 1
	case FormRef1, FormRef2, FormRef4, FormRef8, FormRefAddr, FormRefSup4, FormRefSup8, FormRefSig8, FormGNURefAlt:
		v.class, v.num = ClassReference, r.uint(u.formSize(v.form))
	case FormRefUdata:
		v.class, v.num = ClassReference, r.uleb()
	case FormSecOffset:
		v.class, v.num = ClassOffset, r.uint(u.offSize)
	case FormLoclistx, FormRnglistx:
		v.class, v.num = ClassIndex, r.uleb()
	case FormString:
		v.class, v.bytes = ClassString, r.text()
	case FormStrp, FormLineStrp, FormStrpSup, FormGNUStrpAlt, FormStrx1, FormStrx2, FormStrx3, FormStrx4:
		v.class, v.num = ClassString, r.uint(u.formSize(v.form))
	case FormStrx, FormGNUStrIndex:
		v.class, v.num = ClassString, r.uleb()
	default:
		r.fail(phys.ErrUnsupported, "form %#x", uint32(v.form))
	}
	return v
}

// oldOffset: DWARF 2 and 3 write offsets into other sections as data4 and data8.
func (u *Unit) oldOffset(v *Value, a Attr) {
	if u.Version > 3 || v.form != FormData4 && v.form != FormData8 {
		return
	}
	switch a {
	case AttrLocation, AttrStmtList, AttrFrameBase, AttrRanges, AttrDataMemberLoc:
		v.class = ClassOffset
	}
}

// blockOf takes a block; DW_FORM_exprloc and, before DWARF 4, blocks are expressions where
// the attribute is a location.
func blockOf(r *buf, form Form) (Class, []byte) {
	switch form {
	case FormBlock1:
		return ClassBlock, r.take(uint64(r.u8()))
	case FormBlock2:
		return ClassBlock, r.take(uint64(r.u16()))
	case FormBlock4:
		return ClassBlock, r.take(uint64(r.u32()))
	case FormBlock:
		return ClassBlock, r.take(r.uleb())
	}
	return ClassExpr, r.take(r.uleb())
}
