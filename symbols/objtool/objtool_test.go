package objtool_test

import (
	"context"
	"errors"
	"regexp"
	"testing"

	"github.com/google/pprof/driver"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols/objtool"
)

func tool(t *testing.T, lines objtool.Lines) *objtool.Tool {
	t.Helper()
	o, err := objtool.New(context.Background(), guesttest.Tiny(t).Kernel, lines)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestObject(t *testing.T) {
	o := tool(t, nil)
	f, err := o.Open(objtool.Image, 0, 0, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	syms, err := f.Symbols(regexp.MustCompile("^schedule$"), 0)
	if err != nil || len(syms) != 1 || syms[0].Name[0] != "schedule" || syms[0].End <= syms[0].Start {
		t.Fatalf("%+v, %v", syms, err)
	}
	at, err := f.Symbols(nil, syms[0].Start+1)
	if err != nil || len(at) != 1 || at[0].Start != syms[0].Start {
		t.Errorf("%+v, %v", at, err)
	}
	lines, err := f.SourceLine(syms[0].Start)
	if err != nil || len(lines) != 1 || lines[0] != (driver.Frame{Func: "schedule"}) {
		t.Errorf("%+v, %v", lines, err)
	}
	if a, err := f.ObjAddr(0x1234); a != 0x1234 || err != nil {
		t.Errorf("%#x, %v", a, err)
	}
	if id := f.BuildID(); len(id) != 40 {
		t.Errorf("build ID %q", id)
	}
	if f.Name() != objtool.Image || f.Close() != nil {
		t.Error(f.Name())
	}
	if _, err := o.Open("/usr/bin/true", 0, 0, 0, ""); !errors.Is(err, objtool.ErrNoFile) {
		t.Error(err)
	}
}

func TestModule(t *testing.T) {
	o := tool(t, func(addr uint64) []driver.Frame { return []driver.Frame{{Func: "f", File: "crashkit.c", Line: 7}} })
	f, err := o.Open("[crashkit]", 0, 0, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	syms, err := f.Symbols(regexp.MustCompile("ck_null_work"), 0)
	if err != nil || len(syms) != 1 || syms[0].Name[0] != "ck_null_work [crashkit]" {
		t.Fatalf("%+v, %v", syms, err)
	}
	for _, intel := range []bool{false, true} {
		list, err := o.Disasm("[crashkit]", syms[0].Start, syms[0].End+1, intel)
		want := map[bool]string{false: "movl   $0x3,(%rax)", true: "mov    DWORD PTR [rax],0x3"}[intel]
		if err != nil || len(list) < 2 || list[1].Text != want || list[1].Function != "ck_null_work [crashkit]" || list[1].File != "crashkit.c" || list[1].Line != 7 {
			t.Errorf("%+v, %v", list, err)
		}
	}
	if lines, err := f.SourceLine(syms[0].Start); err != nil || len(lines) != 1 || lines[0].File != "crashkit.c" || lines[0].Func != "ck_null_work [crashkit]" {
		t.Errorf("%+v, %v", lines, err)
	}
	if id := f.BuildID(); id != "" {
		t.Errorf("the kernel's build ID %q for a module", id)
	}
}

func TestDisasmBounds(t *testing.T) {
	o := tool(t, nil)
	for _, span := range [][2]uint64{{2, 1}, {0, 1 << 40}} {
		if _, err := o.Disasm(objtool.Image, span[0], span[1], false); !errors.Is(err, phys.ErrLimit) {
			t.Errorf("%#x: %v", span, err)
		}
	}
	if list, err := o.Disasm(objtool.Image, 0x1000, 0x1010, false); err == nil {
		t.Errorf("%+v at an address without memory", list)
	}
	if _, err := o.Disasm("vmlinux", 0x1000, 0x1010, false); !errors.Is(err, objtool.ErrNoFile) {
		t.Error(err)
	}
}
