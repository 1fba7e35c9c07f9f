package symbols

// ref is a reference to a type of that number.
func (r *btfReader) ref(id uint32) Ref { return Ref{r.b, TypeID(id)} }

// text reads a name; the first that cannot be read makes the type unreadable.
func (r *btfReader) text() string {
	s, err := r.b.name(r.c.U32())
	if r.err == nil {
		r.err = err
	}
	return s
}

// refer reads kinds whose third word is a type: what they are a typedef, a qualifier, a
// function or a variable of.
func (r *btfReader) refer() { r.t.elem = r.ref(r.word) }

// sized reads kinds whose third word is a size and that have nothing more.
func (r *btfReader) sized() { r.t.size = uint64(r.word) }

// pointer reads BTF_KIND_PTR. BTF does not say how wide pointers are.
func (r *btfReader) pointer() {
	r.refer()
	r.t.size = uint64(r.b.abi.ptr())
}

// forward reads BTF_KIND_FWD.
func (r *btfReader) forward() { r.t.union = r.info.flag() }

// integer reads BTF_KIND_INT.
//
//	31  27         23       15  7      0
//	| 0 | encoding | offset | 0 | bits |      encoding 1 signed, 2 character, 4 _Bool
func (r *btfReader) integer() {
	r.sized()
	r.t.Signed = r.c.U32()>>24&1 == 1
}

// array reads BTF_KIND_ARRAY.
//
//	| element type | index type | number of elements |
func (r *btfReader) array() {
	r.t.elem = r.ref(r.c.U32())
	r.c.Skip(4)
	r.t.Count = uint64(r.c.U32())
}

// members reads BTF_KIND_STRUCT and BTF_KIND_UNION.
//
//	| name | type | offset |            in bits
//	with the flag:  | bits 31…24 | offset 23…0 |     bits is 0 for what is no bitfield
func (r *btfReader) members() {
	r.sized()
	r.t.Members = make([]Member, r.info.vlen())
	for i := range r.t.Members {
		name, typ, at := r.text(), r.c.U32(), uint64(r.c.U32())
		m := Member{Name: name, Offset: at, Ref: r.ref(typ)}
		if r.info.flag() {
			m.Offset, m.Bits = at&0xffffff, at>>24
		} else if off, bits := r.b.intBits(m.id); bits > 0 {
			m.Offset, m.Bits = at+off, bits
		}
		r.t.Members[i] = m
	}
}

// intBits is how bitfields were written until pahole 1.12: as an integer whose bits are
// fewer than its bytes hold.
func (b *BTF) intBits(id TypeID) (off, bits uint64) {
	raw := b.raw(id)
	if raw == nil || b.info(raw).kind() != 1 {
		return 0, 0
	}
	size, word := uint64(b.abi.order().Uint32(raw[8:])), uint64(b.abi.order().Uint32(raw[12:]))
	if bits = word & 0xff; bits == 8*size {
		return 0, 0
	}
	return word >> 16 & 0xff, bits
}

// enum reads BTF_KIND_ENUM.
//
//	| name | value |        32 bits
func (r *btfReader) enum() {
	r.sized()
	r.t.Signed = r.info.flag()
	r.t.Values = make([]Enumerator, r.info.vlen())
	for i := range r.t.Values {
		name, v := r.text(), r.c.U32()
		value := int64(v)
		if r.t.Signed {
			value = int64(int32(v))
		}
		r.t.Values[i] = Enumerator{name, value}
	}
}

// enum64 reads BTF_KIND_ENUM64.
//
//	| name | low half of the value | high half |
func (r *btfReader) enum64() {
	r.sized()
	r.t.Signed = r.info.flag()
	r.t.Values = make([]Enumerator, r.info.vlen())
	for i := range r.t.Values {
		name, low, high := r.text(), r.c.U32(), r.c.U32()
		r.t.Values[i] = Enumerator{name, int64(uint64(high)<<32 | uint64(low))}
	}
}

// proto reads BTF_KIND_FUNC_PROTO, whose third word is what is returned.
//
//	| name | type |         type 0 says "..."
func (r *btfReader) proto() {
	r.refer()
	r.t.Params = make([]Param, r.info.vlen())
	for i := range r.t.Params {
		name, typ := r.text(), r.c.U32()
		r.t.Params[i] = Param{name, r.ref(typ)}
	}
}

// vars reads BTF_KIND_DATASEC: as members, with the names of the variables.
//
//	| variable | offset | size |       in bytes
func (r *btfReader) vars() {
	r.sized()
	r.t.Members = make([]Member, r.info.vlen())
	for i := range r.t.Members {
		id, off := r.c.U32(), uint64(r.c.U32())
		r.c.Skip(4)
		r.t.Members[i] = Member{Offset: 8 * off, Ref: r.ref(id)}
		v := r.b.variable(TypeID(id))
		if v == nil {
			continue
		}
		name, err := r.b.name(r.b.abi.order().Uint32(v))
		if r.err == nil {
			r.err = err
		}
		r.t.Members[i].Name, r.t.Members[i].id = name, TypeID(r.b.abi.order().Uint32(v[8:]))
	}
}

// variable gives the bytes of a BTF_KIND_VAR, nil if the type is none. It is not inflated:
// a damaged section may contain itself.
func (b *BTF) variable(id TypeID) []byte {
	if raw := b.raw(id); raw != nil && b.info(raw).kind() == 14 {
		return raw
	}
	return nil
}

// raw gives the bytes of a type, nil if there is none. They can be absent.
func (b *BTF) raw(id TypeID) []byte {
	switch {
	case id < b.first && b.base != nil:
		return b.base.raw(id)
	case id < b.first || id >= b.end():
		return nil
	}
	return b.types.b[b.at[id-b.first]:b.at[id-b.first+1]]
}
