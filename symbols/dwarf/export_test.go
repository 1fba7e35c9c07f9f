package dwarf

// SetUnit makes m compute as an expression of the unit at an address.
func (m *Machine) SetUnit(f *File, pc uint64) { m.unit, _ = f.UnitOf(pc) }
