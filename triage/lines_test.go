package triage

import (
	"bytes"
	"context"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
	"github.com/kautopsy/kautopsy/vmcore"
)

// crashkitFile is the debug information of the small kernel's module, and of nothing else.
type crashkitFile struct{ t *testing.T }

func (c crashkitFile) OpenDebug(_ context.Context, w kernel.Want) (*dwarf.File, error) {
	if w.Module != "crashkit" {
		return nil, dwarf.ErrNoDebug
	}
	b := read(c.t, "../testdata/tiny/crashkit.ko")
	return dwarf.Open(bytes.NewReader(b), int64(len(b)))
}

// TestLines: the culprit, its frame and the code around the fault have their lines.
func TestLines(t *testing.T) {
	const dump = "../testdata/tiny/vmcore.zlib"
	d, err := vmcore.Open(dump, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	k, err := kernel.Open(d, &kernel.Options{DebugInfo: crashkitFile{t}})
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, k)
	const file = "/usr/src/crashkit/crashkit.c"
	if c := r.Verdict.Culprit; c == nil || c.File != file || c.Line != 61 {
		t.Errorf("culprit %+v", c)
	}
	if v := r.Verdict.Culprit.Variables; len(v) != 1 || v[0] != (Variable{"w", "struct work_struct *", true, "0xffffffffc002c600 <ck_work> → ck_null_work"}) {
		t.Errorf("its variables %+v", v)
	}
	if f := r.Panic.Trace[0]; f.File != file || f.Line != 61 {
		t.Errorf("frame %+v", f)
	}
	if len(r.Panic.Code) != 6 {
		t.Errorf("%d instructions", len(r.Panic.Code))
	}
	for _, in := range r.Panic.Code {
		if in.File != file || in.Line != 61 {
			t.Errorf("%+v", in)
		}
	}
}
