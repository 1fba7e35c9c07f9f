package main

import (
	"bytes"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// TestDisLost: of a function whose second page is lost the first part is shown, and why it
// ends.
func TestDisLost(t *testing.T) {
	var across symbols.Symbol
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		across = acrossPages(t, k)
		m.Lose((across.Addr | 0xfff) + 1)
	})
	var out, diag bytes.Buffer
	env := &environment{ctx: t.Context(), out: &out, err: &diag}
	p, err := (&disFlags{}).printer(env, k)
	if err != nil {
		t.Fatal(err)
	}
	p.asked = across.Addr
	list, err := p.choose(across.Name, 0)
	if !phys.Damage(err) {
		t.Errorf("%s: %v, want the lost page", across.Name, err)
	}
	if len(list) == 0 || list[0].Addr != across.Addr || list[len(list)-1].Addr > across.Addr|0xfff {
		t.Errorf("%s: %d instructions, want those of the first page", across.Name, len(list))
	}
	if list, err = p.choose(across.Name, 1); err != nil || len(list) != 1 {
		t.Errorf("the first instruction: %v, %v", list, err)
	}
}

// acrossPages is a function that begins on one page and ends on the next.
func acrossPages(t *testing.T, k *kernel.Kernel) symbols.Symbol {
	t.Helper()
	table, err := k.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for s := range table.All() {
		if s.Type == 'T' && s.Size < 4096 && s.Addr&0xfff < 0xf00 && s.Addr&0xfff+s.Size > 0x1010 && s.Name != "_stext" {
			return s
		}
	}
	t.Fatal("no function lies on two pages")
	return symbols.Symbol{}
}
