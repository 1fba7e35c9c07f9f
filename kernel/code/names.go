package code

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/symbols"
)

// readModules gives the types of each module, those of the kernel included.
func (r *Reader) readModules(ctx context.Context) map[string]symbols.Types {
	out := map[string]symbols.Types{}
	for m, err := range r.k.ModuleTypes(ctx) {
		if err == nil {
			out[m.Name] = m.Types
		}
	}
	return out
}

// typesOf are the types that a module's functions are declared with, "" being the kernel;
// nil if there are none.
func (r *Reader) typesOf(module string) symbols.Types {
	if module == "" {
		return r.types
	}
	return r.modules()[module]
}

// prototype is the declaration of a function, nil if it is not known for sure: BTF has names
// only, so that of several functions of one name nothing is known, nor of one that the
// compiler has changed (foo.isra.0).
func (r *Reader) prototype(s symbols.Symbol) *symbols.Type {
	ts := r.typesOf(s.Module)
	if ts == nil || strings.Contains(s.Name, ".") {
		return nil
	}
	if _, one := r.only(s.Name, s.Module); !one {
		return nil
	}
	found, err := ts.ByName(s.Name, symbols.KindFunc)
	if err != nil || len(found) == 0 {
		return nil
	}
	first := found[0].Elem()
	for _, other := range found[1:] {
		if other.Elem().String() != first.String() {
			return nil
		}
	}
	return first
}

// names implements dataflow.Names.
type names struct{ *Reader }

func (r names) Function(addr uint64) (name string, returns *symbols.Type) {
	s, off, err := r.table.At(addr)
	if err != nil || off != 0 {
		return "", nil
	}
	p := r.prototype(s)
	if p == nil {
		return s.Name, nil
	}
	return s.Name, p.Elem()
}

func (r names) Variable(addr uint64) (name string, off uint64, t *symbols.Type) {
	s, off, err := r.table.At(addr)
	if err != nil || strings.IndexByte("bBdDrRvV", s.Type) < 0 || s.Size > 0 && off >= s.Size {
		return "", 0, nil
	}
	if s.Module == "" && r.types != nil {
		if o, err := r.k.Global(r.types, s.Name); err == nil && o.Addr == s.Addr {
			t = o.Type
		}
	}
	return s.Name, off, t
}

// variable is one that each CPU has.
type variable struct {
	name string
	addr uint64
	typ  *symbols.Type
}

// readPerCPU gives the per-CPU variables whose types BTF has, by address.
func (r *Reader) readPerCPU() (list []variable) {
	if r.types == nil {
		return nil
	}
	sections, _ := r.types.ByName(".data..percpu", symbols.KindDataSec)
	for _, sec := range sections {
		for _, m := range sec.Members {
			v := m.Type()
			if s, ok := r.only(v.Name, ""); ok && v.Kind == symbols.KindVar {
				list = append(list, variable{v.Name, s.Addr, v.Elem()})
			}
		}
	}
	slices.SortFunc(list, func(a, b variable) int { return cmp.Compare(a.addr, b.addr) })
	return list
}

func (r names) PerCPU(off uint64) (name string, in uint64, t *symbols.Type) {
	list := r.Reader.perCPU()
	i, exact := slices.BinarySearchFunc(list, off, func(v variable, off uint64) int { return cmp.Compare(v.addr, off) })
	if !exact {
		i--
	}
	if i < 0 || off-list[i].addr >= list[i].typ.Size() {
		return "", 0, nil
	}
	return list[i].name, off - list[i].addr, list[i].typ
}
