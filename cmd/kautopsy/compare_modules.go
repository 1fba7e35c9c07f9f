package main

import (
	"github.com/kautopsy/kautopsy/crashshell"
	"github.com/kautopsy/kautopsy/kernel"
)

// compareModules holds mod against the kernel's list, by the address of struct module.
func (c *comparison) compareModules() {
	ours, _, err := modules(c.env, c.k, c.lack)
	if err != nil {
		c.lack.add("modules", err)
	}
	mods, err := c.session.Modules(c.ctx)
	c.failed("modules", "mod", err)
	theirs := make(map[uint64]crashshell.Module)
	for _, m := range mods.List {
		theirs[uint64(m.Address)] = m
	}
	equal := 0
	for _, m := range ours {
		o, there := theirs[m.Addr]
		delete(theirs, m.Addr)
		switch {
		case there && o.Name == m.Name && (m.Size == 0 || o.Size == m.Size):
			equal++
		case there && o.Name == m.Name && c.mapped(m):
			d := c.group("modules", "module", crashWrong, "have another size at crash")
			d.Because = c.known("modules")
			d.Checked = []string{"the page tables map what each is said to have, to the last byte and none beyond its last page"}
			d.example("%s %d bytes, crash says %d", m.Name, m.Size, o.Size)
		case there:
			d := c.group("modules", "module", undecided, "have another size or name at crash")
			d.Because = c.known("modules")
			d.example("%s %d bytes, crash says %s %d", m.Name, m.Size, o.Name, o.Size)
		case len(mods.List) > 0:
			d := c.group("modules", "module", crashWrong, "crash does not list")
			d.Because, d.Checked = c.known("modules"), []string{"they are on the kernel's list, with symbols"}
			d.example("%s", m.Name)
		}
	}
	for _, m := range theirs {
		c.group("modules", "module", kautopsyWrong, "kautopsy does not list").example("%s", m.Name)
	}
	c.row("modules", "", len(ours), len(mods.List), equal)
}

// mapped tells whether a module's areas are as long as they are said to be: vmalloc keeps a page
// behind each that is not mapped.
func (c *comparison) mapped(m kernel.ModuleInfo) bool {
	page := uint64(c.k.PageSize())
	for _, a := range m.Areas {
		end := (a.Addr + a.Size + page - 1) &^ (page - 1)
		_, first := c.k.Translate(a.Addr)
		_, last := c.k.Translate(end - 1)
		_, beyond := c.k.Translate(end)
		if a.Size == 0 || first != nil || last != nil || beyond == nil {
			return false
		}
	}
	return len(m.Areas) > 0
}
