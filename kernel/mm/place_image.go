package mm

import (
	"context"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// inImage: text and data of the kernel.
func (m *Memory) inImage(ctx context.Context, p *Place) bool {
	space, err := m.k.Space()
	if err != nil {
		p.miss(err)
		return m.named(ctx, p) && p.say(PlaceSymbol, "%s", p.symbolText(m.isCode(p)))
	}
	a, ok := space.Image(p.Addr)
	if !ok {
		return false
	}
	if !m.named(ctx, p) || p.Module != "" {
		p.Symbol, p.Module, p.Offset = nil, "", 0
		return m.exportedData(p, a)
	}
	p.Phys = &a
	text := p.symbolText(m.isCode(p))
	switch {
	case m.between(p.Addr, "__per_cpu_start", "__per_cpu_end"): // 6.15 on
		return p.say(PlacePerCPU, "per-CPU variable %s%s, its initial image: no CPU's own", p.Symbol.Name, plus(p.Offset))
	case m.between(p.Addr, "__init_begin", "__init_end"):
		text += ", init memory, freed after boot"
	}
	return p.say(PlaceSymbol, "%s", text)
}

// exportedData: data of a kernel that names only what it exports. Between two such names can
// be anything.
func (m *Memory) exportedData(p *Place, a phys.Addr) bool {
	x := m.k.Exports()
	if x == nil {
		return false
	}
	var best symbols.Symbol
	for s := range x.All() {
		if s.Addr <= p.Addr && s.Addr > best.Addr {
			best = s
		}
	}
	if best.Addr == 0 {
		return false
	}
	p.Phys, p.Symbol, p.Offset = &a, &best, int64(p.Addr-best.Addr)
	if p.Offset == 0 {
		return p.say(PlaceSymbol, "%s, data of the kernel", best.Name)
	}
	return p.say(PlaceSymbol, "data of the kernel, %#x behind the exported %s", p.Offset, best.Name)
}

// symbolText is the symbol with what it is: code or data.
func (p *Place) symbolText(code bool) string {
	what := "data"
	switch {
	case code:
		what = "code"
	case p.Symbol.Type&^0x20 == 'R':
		what = "read-only data"
	}
	text := p.Symbol.Name + plus(p.Offset) + ", " + what
	if p.Symbol.Module != "" {
		return text + " of module " + p.Symbol.Module
	}
	return text + " of the kernel"
}

// isCode tells whether an address of the image is code: since 7.2 the letters of data say T.
func (m *Memory) isCode(p *Place) bool {
	if _, err := m.k.Symbol("_etext"); err == nil {
		return m.between(p.Addr, "_stext", "_etext") || m.between(p.Addr, "_sinittext", "_einittext")
	}
	return p.Symbol.Type&^0x20 == 'T'
}

// between tells whether an address lies between two symbols.
func (m *Memory) between(va uint64, first, end string) bool {
	a, err := m.k.Symbol(first)
	b, err2 := m.k.Symbol(end)
	return err == nil && err2 == nil && va >= a.Addr && va < b.Addr
}
