package main

import (
	"encoding/json"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// radixFlags are crash's -x and -d.
type radixFlags struct{ hex, decimal bool }

// valueStyle is how values are printed: pointers with the symbols they lead to.
func valueStyle(env *environment, k *kernel.Kernel, radix radixFlags) kernel.ValueStyle {
	table, _ := k.AllSymbols(env.ctx)
	return kernel.ValueStyle{Hex: radix.hex && !radix.decimal, Width: 100, Symbol: func(va uint64) string {
		if table == nil {
			return ""
		}
		s, off, err := table.At(va)
		if err != nil || s.Size != 0 && off >= s.Size {
			return ""
		}
		return symbolText(s, off)
	}}
}

// valueMember is a member in JSON. The value is a number, a string (an address, a text, the
// name of an enumerator), a list of elements, or the members of a struct or union.
type valueMember struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Offset uint64 `json:"offset"`
	Bit    uint64 `json:"bit,omitempty"`
	Bits   uint64 `json:"bits,omitempty"`
	Size   uint64 `json:"size"`
	Value  any    `json:"value,omitempty"`
	Why    string `json:"why,omitempty"`
}

// repeated stands for elements that are the same.
type repeated struct {
	Value any    `json:"value"`
	Times uint64 `json:"times"`
}

// memberDocument is a member in JSON; base is where the object begins, in bits.
func memberDocument(v kernel.Value, base uint64) valueMember {
	m := valueMember{
		Name: v.Name, Type: v.Type.String(), Offset: (v.Offset - base) / 8, Bits: v.Bits, Size: v.Type.Size(),
		Value: valueDocument(v, base),
	}
	if v.Bits != 0 {
		m.Bit = (v.Offset - base) % 8
	}
	if v.Err != nil {
		m.Why = v.Err.Error()
	}
	return m
}

// valueDocument is a value in JSON.
func valueDocument(v kernel.Value, base uint64) any {
	t := v.Type.Underlying()
	switch {
	case v.Err != nil:
		return nil
	case t.Aggregate():
		return membersDocument(v, base)
	case t.Kind == symbols.KindArray && v.IsText:
		return strings.ToValidUTF8(v.Text, "\ufffd")
	case t.Kind == symbols.KindArray:
		list := []any{}
		for _, p := range v.Parts {
			if e := valueDocument(p, base); p.Count > 1 {
				list = append(list, repeated{e, p.Count})
			} else {
				list = append(list, e)
			}
		}
		return list
	case t.Kind == symbols.KindPointer:
		return hexAddress(v.Number)
	case t.Kind == symbols.KindInt && t.Name == "_Bool" && v.Number <= 1:
		return v.Number == 1
	case t.Signed && t.Kind == symbols.KindInt:
		return json.Number(v.Scalar(kernel.ValueStyle{}))
	case t.Kind == symbols.KindInt:
		return v.Number
	}
	return v.Scalar(kernel.ValueStyle{})
}

func membersDocument(v kernel.Value, base uint64) []valueMember {
	list := []valueMember{}
	for _, p := range v.Parts {
		list = append(list, memberDocument(p, base))
	}
	return list
}

// valueMissing is what a value lacks, and tells the user of it: values are partial where
// something was lost, or nothing could be read.
func valueMissing(env *environment, what string, v kernel.Value) []kernel.Missing {
	errs := v.Lost()
	for _, err := range errs {
		env.met(err)
	}
	return missing(what, errs...)
}
