package kernel_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// procModules is a module's line in /proc/modules, as the kernel's m_show writes it.
func procModules(m kernel.ModuleInfo) string {
	by := strings.Join(append(m.UsedBy, ""), ",")
	if m.Permanent {
		by += "[permanent],"
	}
	if by == "" {
		by = "-"
	}
	line := fmt.Sprintf("%s %d %d %s %v 0x%016x", m.Name, m.Size, m.Refs, by, m.State, m.Base)
	if taints := kernel.ModuleTaints(m.Taints); taints != "" {
		line += " (" + taints + ")"
	}
	return line
}

// TestModuleInfos: the loaded modules are, to the letter, what /proc/modules said. The
// recorder unmounted its disk afterwards: the modules of that count fewer references.
func TestModuleInfos(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		want := strings.Split(strings.TrimSuffix(g.Truth(t, "modules"), "\n"), "\n")
		n := 0
		for m, err := range g.ModuleInfos(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			if len(m.BuildID) != 40 {
				t.Errorf("module %s: build ID %q", m.Name, m.BuildID)
			}
			if slices.Contains([]string{"ext4", "crc32c_generic", "virtio_blk"}, m.Name) && n < len(want) {
				var name string
				var size, refs int
				if _, err := fmt.Sscan(want[n], &name, &size, &refs); err != nil || m.Refs > refs || m.Refs < refs-2 {
					t.Errorf("module %s has %d references, had %d", m.Name, m.Refs, refs)
				}
				m.Refs = refs
			}
			if line := procModules(m); n >= len(want) || line != want[n] {
				t.Errorf("%s\nis not line %d of\n%s", line, n+1, strings.Join(want, "\n"))
			}
			n++
		}
		t.Logf("%d modules", n)
		if n != len(want) {
			t.Errorf("%d modules, want %d", n, len(want))
		}
	})
}

// TestModuleDamaged: a module that is not all there tells what is known; the next one too.
func TestModuleDamaged(t *testing.T) {
	one := func(k *kernel.Kernel) (m kernel.ModuleInfo, err error) {
		for m, err = range k.ModuleInfos(t.Context()) {
			return m, err
		}
		return m, err
	}
	for what, c := range map[string]struct {
		change func(m guesttest.Memory, o kernel.Object)
		reason error
		name   string
	}{
		"a list of users that is none": {func(m guesttest.Memory, o kernel.Object) {
			m.PutUint(o, "source_list.next", 0x18)
		}, phys.ErrUnmapped, "crashkit"},
		"no module on the list": {func(m guesttest.Memory, o kernel.Object) {
			m.PutUint(o, "list.next", o.Addr+8)
		}, phys.ErrCorrupt, ""},
		"a build ID that is excluded": {func(m guesttest.Memory, o kernel.Object) {
			at, _ := o.Pointer("notes_attrs")
			m.Exclude(at)
		}, phys.ErrExcluded, "crashkit"},
		"a state that is none": {func(m guesttest.Memory, o kernel.Object) {
			m.PutUint(o, "state", 77)
		}, nil, "crashkit"},
	} {
		k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
			whole, err := one(k)
			if err != nil {
				t.Fatal(err)
			}
			c.change(m, whole.Object)
		})
		var last error
		name, n := "", 0
		for m, err := range k.ModuleInfos(t.Context()) {
			if n++; m.Addr != 0 {
				name = m.Name
			}
			if last = err; m.State == 77 && m.State.String() != "state 77" {
				t.Errorf("%s: %v", what, m.State)
			}
		}
		if !errors.Is(last, c.reason) || c.name != "" && name != c.name || n > 2 {
			t.Errorf("%s: %d entries, %q, %v", what, n, name, last)
		}
	}
}
