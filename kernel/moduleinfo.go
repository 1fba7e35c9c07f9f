package kernel

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/symbols"
)

// ModuleInfo is what /proc/modules says of a loaded module, and what the module says of
// itself. Object is its struct module. What a kernel does not keep is empty.
type ModuleInfo struct {
	Object

	Name      string
	Base      uint64 // of its text
	Size      uint64 // bytes in memory, all areas
	Areas     []ModuleArea
	Refs      int      // -1: not counted (CONFIG_MODULE_UNLOAD off), or by each CPU (before 3.19)
	UsedBy    []string // modules that use it, in the order of /proc/modules
	Permanent bool     // it has no way to unload
	State     ModuleState
	Taints    uint64 // bits as those of the kernel's taint flags, see ModuleTaints

	Version, SrcVersion string
	BuildID             string // of its file, in hexadecimal
	Args                string // as it was loaded with
}

// ModuleArea is memory that a module lies in: "text", "data", "rodata", "ro_after_init",
// the same with "init_", and before 6.4 (ac3b43283923) "core" and "init".
type ModuleArea struct {
	Name       string
	Addr, Size uint64
}

// ModuleState is enum module_state (include/linux/module.h).
type ModuleState uint64

// String is the state as lsmod and /proc/modules have it.
func (s ModuleState) String() string {
	names := [...]string{"Live", "Loading", "Unloading", "Unformed"}
	if s < ModuleState(len(names)) {
		return names[s]
	}
	return fmt.Sprintf("state %d", uint64(s))
}

// ModuleTaints are the letters of a module's taint bits, as in /proc/modules.
func ModuleTaints(mask uint64) string {
	var b strings.Builder
	for i, c := range taintLetters {
		if mask>>i&1 != 0 {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// ModuleInfos yields the loaded modules, newest first, by their types. An error about a
// module comes with what is known of it and does not end the walk; one about the list does.
// A kernel without types is an error that wraps symbols.ErrNoType: Modules has the names.
func (k *Kernel) ModuleInfos(ctx context.Context) iter.Seq2[ModuleInfo, error] {
	return func(yield func(ModuleInfo, error) bool) {
		ts, err := k.Types()
		if ts == nil {
			yield(ModuleInfo{}, fmt.Errorf("modules: %w", err))
			return
		}
		t, err := symbols.Find(ts, "struct module", "list", "name")
		if err != nil {
			yield(ModuleInfo{}, fmt.Errorf("modules: %w", err))
			return
		}
		head, err := k.moduleList(ctx)
		if err != nil {
			yield(ModuleInfo{}, fmt.Errorf("modules: %w", err))
			return
		}
		for o, err := range k.List(ctx, head, t, "list") {
			if err != nil {
				yield(ModuleInfo{}, fmt.Errorf("modules: %w", err))
				return
			}
			if m, err := o.moduleInfo(ctx); !yield(m, err) {
				return
			}
		}
	}
}

// moduleInfo reads a struct module.
func (o Object) moduleInfo(ctx context.Context) (ModuleInfo, error) {
	f := o.Fields()
	m := ModuleInfo{Object: o, Name: f.Text("name"), State: ModuleState(f.Uint("state"))}
	m.Taints = f.Uint("taints")
	m.Args = f.Text("args")
	for member, to := range map[string]*string{"version": &m.Version, "srcversion": &m.SrcVersion} {
		if o.Has(member) {
			*to = f.Text(member)
		}
	}
	steps := []struct {
		what string
		read func(context.Context) error
	}{{"areas", m.areas}, {"references", m.references}, {"users", m.users}, {"build ID", m.buildID}}
	errs := []error{f.Err()}
	for _, s := range steps {
		if err := s.read(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.what, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return m, fmt.Errorf("module %s at %#x: %w", m.Name, o.Addr, err)
	}
	return m, nil
}

// layouts are the places of a module before 6.4: module_core and module_init until 4.5
// (7523e4dc5057), and a part for data of its own where it lies elsewhere (5.18, 01dc0386efb7).
var layouts = []struct{ name, base, size, before, sizeBefore string }{
	{"core", "core_layout.base", "core_layout.size", "module_core", "core_size"},
	{"init", "init_layout.base", "init_layout.size", "module_init", "init_size"},
	{"data", "data_layout.base", "data_layout.size", "", ""},
}

// areas reads where the module lies. Its address in /proc/modules is that of its first
// area, and its size that of all.
func (m *ModuleInfo) areas(context.Context) error {
	if m.Has("mem") {
		return m.memory()
	}
	for _, l := range layouts {
		if !m.Has(l.base) && !m.Has(l.before) {
			continue
		}
		f := m.Fields()
		if err := m.area(l.name, f.Pointer(l.base, l.before), f.Uint(l.size, l.sizeBefore), f.Err()); err != nil {
			return err
		}
	}
	return nil
}

// memory reads the areas of 6.4 on.
func (m *ModuleInfo) memory() error {
	mem, err := m.Member("mem")
	if err != nil {
		return err
	}
	kinds, err := m.k.Cast(0, "enum mod_mem_type")
	if err != nil {
		return err
	}
	for i := range mem.Type.Underlying().Count {
		o, err := mem.Index(i)
		if err != nil {
			return err
		}
		name, _ := kinds.Type.Enumerator(int64(i))
		f := o.Fields()
		if err := m.area(strings.ToLower(strings.TrimPrefix(name, "MOD_")), f.Pointer("base"), f.Uint("size"), f.Err()); err != nil {
			return err
		}
	}
	return nil
}

func (m *ModuleInfo) area(name string, base, size uint64, err error) error {
	if err != nil || size == 0 {
		return err
	}
	if len(m.Areas) == 0 {
		m.Base = base
	}
	m.Areas = append(m.Areas, ModuleArea{name, base, size})
	m.Size += size
	return nil
}

// references counts as /proc/modules does: without the one that every module holds of
// itself (MODULE_REF_BASE, 3.19 on).
func (m *ModuleInfo) references(context.Context) error {
	m.Refs = -1
	n, err := m.Int("refcnt.counter")
	if errors.Is(err, symbols.ErrNoMember) {
		return nil
	}
	if err == nil {
		m.Refs = int(n) - 1
	}
	return err
}

// users reads which modules use this one; a module that could be initialised and cannot be
// unloaded is permanent.
func (m *ModuleInfo) users(ctx context.Context) error {
	if !m.Has("source_list") {
		return nil // CONFIG_MODULE_UNLOAD is off
	}
	use, err := m.k.Cast(0, "struct module_use", "source_list", "source")
	if err != nil {
		return err
	}
	head, err := m.Member("source_list")
	if err != nil {
		return err
	}
	for u, err := range m.k.List(ctx, head.Addr, use.Type, "source_list") {
		if err != nil {
			return err
		}
		by, err := u.Follow("source")
		if err != nil {
			return err
		}
		name, err := by.Text("name")
		if err != nil {
			return err
		}
		m.UsedBy = append(m.UsedBy, name)
	}
	f := m.Fields()
	m.Permanent = f.Pointer("init") != 0 && f.Pointer("exit") == 0 && f.Err() == nil
	return f.Err()
}

// buildID is what the kernel keeps of it (5.14 on, CONFIG_STACKTRACE_BUILD_ID), or the note
// of the module's file, which /sys/module/NAME/notes shows. A kernel without sysfs has none.
func (m *ModuleInfo) buildID(ctx context.Context) error {
	if m.Has("build_id") {
		id, err := m.Bytes("build_id")
		m.BuildID = fmt.Sprintf("%x", id)
		return err
	}
	if at, err := m.Pointer("notes_attrs"); err != nil || at == 0 {
		if errors.Is(err, symbols.ErrNoMember) {
			return nil
		}
		return err
	}
	notes, err := m.Follow("notes_attrs")
	if err != nil {
		return err
	}
	attrs, err := notes.Member("attrs")
	if err != nil {
		return err
	}
	n, err := noteCount(notes)
	for i := uint64(0); i < n && err == nil && m.BuildID == ""; i++ {
		var o Object
		if o, err = attrs.Index(i); err == nil {
			m.BuildID, err = o.buildIDNote()
		}
	}
	return err
}

// maxNotes bounds the note sections of a module.
const maxNotes = 64

// noteCount is how many elements attrs of a struct module_notes_attrs has: counted until
// 6.13, then a list of pointers to them that ends with NULL (4723f16de64e).
func noteCount(notes Object) (uint64, error) {
	if notes.Has("notes") {
		n, err := notes.Uint("notes")
		return min(n, maxNotes), err
	}
	list, err := notes.Member("grp.bin_attrs")
	for i := uint64(0); i < maxNotes && err == nil; i++ {
		var o Object
		var at uint64
		if o, err = list.Index(i); err == nil {
			if at, err = o.Pointer(); err == nil && at == 0 {
				return i, nil
			}
		}
	}
	return 0, err
}

// buildIDNote reads a struct bin_attribute that shows a note section, "" if it is of
// another kind.
func (o Object) buildIDNote() (string, error) {
	f := o.Fields()
	name, at, size := f.Text("attr.name"), f.Pointer("private"), f.Uint("size")
	if err := f.Err(); err != nil || name != ".note.gnu.build-id" {
		return "", err
	}
	note := make([]byte, min(size, 256))
	if _, err := o.k.ReadVirt(note, at); err != nil {
		return "", err
	}
	return hex.EncodeToString(elfnote.BuildID(note, o.k.dump.Header.Order)), nil
}
