package dataflow_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dataflow"
	"github.com/kautopsy/kautopsy/symbols/disasm"
)

// widget is the struct of these tests, and the parameters of a function about one.
//
//	struct widget { struct list_head list; struct widget *next; char *name; union { void *p; long n; }; int counter; }
//	f(struct widget *w, int n)
func widget() (t *symbols.Type, params []symbols.Param) {
	number := symbols.Make(symbols.Type{Kind: symbols.KindInt, Name: "int", Signed: true}, 4, symbols.Ref{})
	long := symbols.Make(symbols.Type{Kind: symbols.KindInt, Name: "long", Signed: true}, 8, symbols.Ref{})
	char := symbols.Make(symbols.Type{Kind: symbols.KindInt, Name: "char", Signed: true}, 1, symbols.Ref{})
	head := symbols.Make(symbols.Type{Kind: symbols.KindStruct, Name: "list_head"}, 16, symbols.Ref{})
	head.Members = []symbols.Member{{Name: "next", Ref: head.PointerTo(8).Ref()}, {Name: "prev", Offset: 64, Ref: head.PointerTo(8).Ref()}}
	either := symbols.Make(symbols.Type{Kind: symbols.KindUnion}, 8, symbols.Ref{})
	either.Members = []symbols.Member{{Name: "p", Ref: char.PointerTo(8).Ref()}, {Name: "n", Ref: long.Ref()}}
	t = symbols.Make(symbols.Type{Kind: symbols.KindStruct, Name: "widget"}, 48, symbols.Ref{})
	t.Members = []symbols.Member{
		{Name: "list", Ref: head.Ref()},
		{Name: "next", Offset: 8 * 0x10, Ref: t.PointerTo(8).Ref()},
		{Name: "name", Offset: 8 * 0x18, Ref: char.PointerTo(8).Ref()},
		{Offset: 8 * 0x20, Ref: either.Ref()},
		{Name: "counter", Offset: 8 * 0x28, Ref: number.Ref()},
	}
	return t, []symbols.Param{{Name: "w", Ref: t.PointerTo(8).Ref()}, {Name: "n", Ref: number.Ref()}}
}

// names has one function, which gives a widget back, one variable, and one per-CPU variable.
type names struct{ widget *symbols.Type }

func (n names) Variable(addr uint64) (string, uint64, *symbols.Type) {
	if addr-0x5000 < 0x100 {
		return "here", addr - 0x5000, nil
	}
	return "", 0, nil
}

func (n names) PerCPU(off uint64) (string, uint64, *symbols.Type) {
	return "current_task", off - 0x100, n.widget.PointerTo(8)
}

func (n names) Function(addr uint64) (string, *symbols.Type) { return "get", n.widget.PointerTo(8) }

func follow(t testing.TB, code string) (*dataflow.Flow, error) {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(code, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	d, err := disasm.New("x86_64", binary.LittleEndian, disasm.ATT)
	if err != nil {
		t.Fatal(err)
	}
	w, params := widget()
	fn := dataflow.Function{Machine: "x86_64", Parts: []dataflow.Part{{Addr: 0x1000, Code: b}}, Params: params}
	return dataflow.Follow(d, fn, names{w})
}

// TestOperands: what the memory is called that the instruction at an offset accesses.
func TestOperands(t *testing.T) {
	for _, c := range []struct {
		what, code   string
		at           uint64
		text, member string // the member with its struct
	}{
		{"a member of an argument", "48 8b 47 10 ff 40 28 c3", 0, "w->next", "struct widget.next"},
		{"and of what it points to", "48 8b 47 10 ff 40 28 c3", 4, "w->next->counter", "struct widget.counter"},
		{"a loop keeps the type", "48 85 ff 74 06 48 8b 7f 10 eb f5 8b 47 28 c3", 0xb, "", "struct widget.counter"},
		{"spilled over a call", "53 48 83 ec 10 48 89 7c 24 08 e8 fb 00 00 00 48 8b 5c 24 08 8b 4b 28 c3", 0x14, "w->counter", "struct widget.counter"},
		{"spilled where the callee may write", "53 48 83 ec 10 48 89 7c 24 08 48 8d 74 24 08 e8 fb 00 00 00 48 8b 5c 24 08 8b 4b 28 c3", 0x19, "", ""},
		{"one way has another value", "85 f6 74 03 48 89 f7 8b 47 28 c3", 7, "", ""},
		{"one way has NULL", "31 c0 85 f6 74 04 48 8b 47 10 8b 40 28 c3", 0xa, "", "struct widget.counter"},
		{"a pointer less a constant", "48 83 ef 08 8b 47 30 c3", 4, "w->counter", "struct widget.counter"},
		{"the tracer's call, and a per-CPU variable", "e8 00 00 00 00 55 48 89 e5 65 48 8b 04 25 00 01 00 00 8b 40 28 c3", 0x12, "current->counter", "struct widget.counter"},
		{"a string", "48 99 48 8b 47 18 48 8b 10 c3", 6, "*w->name", ""},
		{"behind the struct", "48 8b 87 80 00 00 00 c3", 0, "", ""},
		{"a union", "8b 47 20 c3", 0, "w->p|n", "struct widget.p|n"},
		{"nested", "48 8b 47 08 c3", 0, "w->list.prev", "struct widget.list.prev"},
		{"a variable", "48 8b 05 f9 3f 00 00 c3", 0, "[here]", ""},
		{"a call gives it", "90 90 90 90 90 e8 00 00 00 00 8b 40 28 c3", 0xa, "get()->counter", "struct widget.counter"},
		{"what a call changes", "90 90 90 90 90 e8 00 00 00 00 8b 47 28 c3", 0xa, "", ""},
	} {
		f, err := follow(t, c.code)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		list, err := f.Operands(0x1000 + c.at)
		if err != nil || len(list) == 0 {
			t.Errorf("%s: %v, %v", c.what, list, err)
			continue
		}
		member := ""
		if o := list[0]; o.Struct != nil {
			member = o.Struct.String() + "." + o.Member
		}
		if list[0].Text != c.text || member != c.member {
			t.Errorf("%s: %q, %q; want %q, %q", c.what, list[0].Text, member, c.text, c.member)
		}
	}
}

func TestRegister(t *testing.T) {
	f, err := follow(t, "48 8b 47 10 ff 40 28 c3")
	if err != nil {
		t.Fatal(err)
	}
	v, err := f.Register(0x1004, "rax")
	if err != nil || v.Text != "w->next" || v.Type.String() != "struct widget *" || !v.Known() {
		t.Errorf("rax is %+v, %v", v, err)
	}
	if v, err := f.Register(0x1004, "rcx"); err != nil || v.Known() {
		t.Errorf("rcx is %+v, %v", v, err)
	}
	if _, err := f.Register(0x1002, "rax"); !errors.Is(err, dataflow.ErrUnreached) {
		t.Errorf("in an instruction: %v", err)
	}
}

// TestGiveUp: a jump that leads nobody knows where may lead anywhere.
func TestGiveUp(t *testing.T) {
	if _, err := follow(t, "ff e0 8b 47 28"); !errors.Is(err, dataflow.ErrTable) {
		t.Error(err)
	}
	f, err := follow(t, "eb 02 8b 07 c3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Operands(0x1002); !errors.Is(err, dataflow.ErrUnreached) {
		t.Error(err)
	}
}

// FuzzFollow: any bytes end, and give operands that have a member only with its struct.
func FuzzFollow(f *testing.F) {
	for _, code := range []string{"488b4710ff4028c3", "4885ff7406488b7f10ebf58b4728c3", "534883ec1048897c2408e8fb000000488b5c24088b4b28c3"} {
		b, err := hex.DecodeString(code)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	w, params := widget()
	f.Fuzz(func(t *testing.T, code []byte) {
		for _, machine := range []string{"x86_64"} {
			d, err := disasm.New(machine, binary.LittleEndian, disasm.ATT)
			if err != nil {
				t.Fatal(err)
			}
			flow, err := dataflow.Follow(d, dataflow.Function{Machine: machine, Parts: []dataflow.Part{{Addr: 0x1000, Code: code}}, Params: params}, names{w})
			if err != nil {
				continue
			}
			for in := range d.All(code, 0x1000) {
				list, _ := flow.Operands(in.Addr)
				for _, o := range list {
					if o.Member == "" && o.Struct != nil {
						t.Errorf("%s: no member of %v", in.Text, o.Struct)
					}
				}
			}
		}
	})
}
