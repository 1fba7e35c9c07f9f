package kernel_test

import (
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

const valueTypes = `struct pair { int a; int b; }
	struct all { char name[8]; char letter; short s[14]; struct pair one; struct pair many[3]; struct pair same[12]; struct all *next; char *text; long big; char data[0]; }`

// TestValue prints values of each kind.
func TestValue(t *testing.T) {
	m := newMachine(t)
	ts := cTypes(t, m.order, m.word, valueTypes)
	all := find(t, ts, "struct all")
	va := m.make(all)
	m.put(va, []byte("na\"me\x01"))
	for path, v := range map[string]uint64{
		"letter": 'x', "s[0]": 7, "s[13]": 9, "one.a": 1, "one.b": 2, "many[1].b": 5, "next": va, "big": ^uint64(0),
		"text": m.object([]byte("text\n\x00")),
	} {
		m.set(all, va, path, v)
	}
	k := m.typed(ts)
	got := k.Object(all, va).Value().Format(kernel.ValueStyle{Symbol: func(at uint64) string {
		if at == va {
			return "here"
		}
		return ""
	}})
	want := strings.ReplaceAll(`{
  name = "na\"me\001",
  letter = 120 'x',
  s = {7, 0 <repeats 12 times>, 9},
  one = {
    a = 1,
    b = 2
  },
  many = {{
      a = 0,
      b = 0
    }, {
      a = 0,
      b = 5
    }, {
      a = 0,
      b = 0
    }},
  same = {{
      a = 0,
      b = 0
    } <repeats 12 times>},
  next = VA <here>,
  text = TEXT "text\n",
  big = 0xffffffffffffffff,
  data = DATA
}`, "VA", fmt.Sprintf("%#x", va))
	want = strings.ReplaceAll(want, "DATA", fmt.Sprintf("%#x", va+all.Size()))
	got = regexp.MustCompile(`text = 0x[0-9a-f]+`).ReplaceAllString(got, "text = TEXT")
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	hex := k.Object(all, va).Value().Format(kernel.ValueStyle{Hex: true})
	if !strings.Contains(hex, "s = {0x7, 0x0 <repeats 12 times>, 0x9}") {
		t.Error(hex)
	}
}

// TestValueAbsent: a page that is not there costs the members that are in it.
func TestValueAbsent(t *testing.T) {
	m := newMachine(t)
	ts := cTypes(t, m.order, m.word, `struct long_one { long first; long pages[600]; long last; }`)
	typ := find(t, ts, "struct long_one")
	va := m.pages(3) + pageSize - 8
	m.set(typ, va, "first", 1)
	m.set(typ, va, "last", 2)
	m.lose(va + 8)
	v := m.typed(ts).Object(typ, va).Value()
	if got := v.Format(kernel.ValueStyle{}); !strings.Contains(got, "first = 1,") || !strings.Contains(got, "<lost>") || !strings.Contains(got, "last = 2") {
		t.Error(got)
	}
	if errs := v.Lost(); len(errs) != 1 || !errors.Is(errs[0], phys.ErrLost) || v.Absent() {
		t.Error(errs)
	}
	v = m.typed(ts).Object(typ, 64).Value()
	if errs := v.Lost(); len(errs) != 1 || !errors.Is(errs[0], phys.ErrUnmapped) || !v.Absent() {
		t.Error(errs)
	}
	ts = cTypes(t, m.order, m.word, `struct empty {}; struct sized { struct empty none; long first; char more[]; }`)
	if v = m.typed(ts).Object(find(t, ts, "struct sized"), 64).Value(); !v.Absent() {
		t.Error("parts without a size count as read")
	}
	if v = m.typed(ts).Object(find(t, ts, "struct sized"), va).Value(); v.Absent() {
		t.Error("parts without a size count as lost")
	}
	if v = m.typed(ts).Object(typ.ArrayOf(1<<40), va).Value(); !errors.Is(v.Err, phys.ErrLimit) {
		t.Error(v.Err)
	}
}

// TestValueAsCrash compares a task_struct with what crash 9.0.2 prints of it.
func TestValueAsCrash(t *testing.T) {
	dir := dumptest.Corpus(t)
	k := openKernel(t, corpusDump(t, filepath.Join(dir, "6.1", "vmcore.raw")))
	tr := truth{t, filepath.Join(dir, "crash-transcripts", "9.0.2")}
	head, text, _ := strings.Cut(tr.text("task.txt"), "struct task_struct ")
	text, _, _ = strings.Cut(text, "\n}\n")
	var pid int
	var at uint64
	if _, err := fmt.Sscanf(head, "PID: %d TASK: %x", &pid, &at); err != nil {
		t.Fatal(err)
	}
	o := k.Object(find(t, readBTF(t, k), "struct task_struct"), at)
	got := strings.TrimSuffix(o.Value().Format(kernel.ValueStyle{}), "\n}")
	if d := firstDifference(plain(text), plain(got)); d != "" || len(plain(got)) < 1000 {
		t.Error(d)
	}
}

// plain are the lines of a value without what crash tells more of: symbols, characters of
// numbers, NULs behind a string, each of many same elements; and large numbers in
// hexadecimal. An array of u8 is text to gdb.
func plain(text string) []string {
	for from, to := range map[string]string{` ?<[^>]*>`: "", ` '\\?[^']*'`: "", `(\\000)+"`: `"`, `(0x[0-9a-f]+) "[^"]*"`: "$1"} {
		text = regexp.MustCompile(from).ReplaceAllString(text, to)
	}
	text = regexp.MustCompile(`\b\d{19,}\b`).ReplaceAllStringFunc(text, func(s string) string {
		n, _ := new(big.Int).SetString(s, 10)
		return fmt.Sprintf("%#x", n)
	})
	var lines []string
	for line := range strings.Lines(text) {
		var kept []string
		for i, word := range strings.Split(strings.TrimRight(strings.TrimSpace(line), "},"), ", ") {
			if i == 0 || word != kept[len(kept)-1][strings.LastIndexByte(kept[len(kept)-1], '{')+1:] {
				kept = append(kept, word)
			}
		}
		if s := strings.Join(kept, ", "); !strings.HasPrefix(s, "__padding = ") {
			lines = append(lines, s)
		}
	}
	return lines
}

// TestEvaluate reads expressions of every form.
func TestEvaluate(t *testing.T) {
	k := openKernel(t, tiny+"/vmcore.zlib")
	first, err := k.Global(readBTF(t, k), "init_task")
	if err != nil {
		t.Fatal(err)
	}
	style := kernel.ValueStyle{}
	for expr, want := range map[string]string{
		"init_task.comm":                                    `"swapper/0"`,
		"init_task . comm[0]":                               `115 's'`,
		"init_task.parent->comm":                            `"swapper/0"`,
		"init_task->parent.pid":                             "0",
		"(*init_task.parent).pid":                           "0",
		"*init_task.cred.usage.counter":                     "",
		"&init_task":                                        fmt.Sprintf("%#x", first.Addr),
		"&init_task.parent->comm[2]":                        "",
		"((struct task_struct *)&init_task)->tgid":          "0",
		"((task_struct*)&init_task)[0].comm":                `"swapper/0"`,
		fmt.Sprintf("((task_struct*)%#x)->pid", first.Addr): "0",
		"(unsigned int)init_task.prio":                      "120",
		"*(struct list_head *)&init_task.tasks.next":        "",
		"runqueues:1.cpu":                                   "1",
		"runqueues.cpu:0":                                   "0",
		"(struct uts_namespace)init_uts_ns.name.sysname":    "",
		"init_uts_ns.name.sysname":                          `"Linux"`,
		"PIDTYPE_SID":                                       "PIDTYPE_SID",
		"linux_banner[0]":                                   "76 'L'",
		"0x10":                                              "16",
		"init_task.comm[1+1]":                               "97 'a'",
		"&((struct list_head *)0)->prev":                    "0x8",
		"&init_task + 1":                                    fmt.Sprintf("%#x", first.Addr+first.Type.Size()),
		"1 + &init_task.comm[0] - &init_task.comm[0]":       "1",
		"&init_task.comm[7] - &init_task.comm[4]":           "3",
		"sizeof(struct list_head)":                          "16",
		"sizeof(init_task) - sizeof init_task":              "0",
		"sizeof(struct page *) * 2":                         "16",
		"-init_task.prio / 7 % 10":                          "-7",
		"~0":                                                "-1",
		"(u32)-1":                                           "4294967295",
		"1 << 4 | 3 ^ 1 & 2 + 8 * (3 - 1) >> 1":             "18",
		"(init_task.prio) - 1":                              "119",
		"0xffffffffffffffff / 2 - 0x7fffffffffffffff":       "0",
	} {
		list, err := k.Evaluate(t.Context(), expr)
		switch {
		case want == "" && err == nil && len(list) == 1:
		case want == "" && errors.Is(err, kernel.ErrExpression):
		case err != nil || len(list) != 1 || list[0].Format(style) != want:
			t.Errorf("%s: %v, %v", expr, list, err)
		}
	}
	if list, err := k.Evaluate(t.Context(), "runqueues:a.cpu"); err != nil || len(list) != 2 || list[1].CPU != 1 || list[1].Number != 1 {
		t.Errorf("%v, %v", list, err)
	}
	for expr, want := range map[string]error{
		"": kernel.ErrExpression, "init_task.": kernel.ErrExpression, "init_task +1": kernel.ErrExpression, "1 +": kernel.ErrExpression,
		"1 / (2 - 2)": kernel.ErrExpression, "7 % 0": kernel.ErrExpression, "sizeof(struct nix)": symbols.ErrNoType, "sizeof": kernel.ErrExpression,
		"*(int *)0": phys.ErrUnmapped, "((struct page *)0)->flags + 1": phys.ErrUnmapped, strings.Repeat("-", 1000) + "1": kernel.ErrExpression, "(init_task": kernel.ErrExpression,
		"init_task:0": kernel.ErrExpression, "runqueues:9": kernel.ErrExpression, "runqueues:": kernel.ErrExpression,
		"init_task.comm[99]": symbols.ErrNoMember, "init_task.none": symbols.ErrNoMember, "none": symbols.ErrNoSymbol,
		"(struct none *)init_task.mm": symbols.ErrNoType, "runqueues": kernel.ErrPerCPU, "loops_per_jiffy": kernel.ErrUntyped,
		"init_task.mm->pgd": phys.ErrUnmapped, strings.Repeat("(", 1000): kernel.ErrExpression, "*5": kernel.ErrExpression,
		"init_task[[0]]": kernel.ErrExpression, "&5": kernel.ErrExpression, "init_task init_task": kernel.ErrExpression,
	} {
		if list, err := k.Evaluate(t.Context(), expr); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, %v, not %v", expr, list, err, want)
		}
	}
}

// FuzzEvaluate evaluates any text: it has a value, or an error that says what is wrong.
func FuzzEvaluate(f *testing.F) {
	k := openKernel(f, tiny+"/vmcore.zlib")
	for _, seed := range []string{
		"init_task.mm->owner[0].comm", "runqueues:a.cfs", "*(struct rq**)&runqueues:0-1", "((u64*)0xffff)[3]", "&*&init_task",
		"init_task.parent.parent.children.next", "(unsigned long)init_task.tasks.next", "runqueues:1,0", "-> . [ ] ( ) :a",
		"sizeof(struct page) << 3 | ~0 ^ -1", "&init_task + 1 - &init_task", "init_task.comm[1 % 2]",
	} {
		f.Add(seed)
	}
	known := []error{
		kernel.ErrExpression, kernel.ErrPerCPU, kernel.ErrUntyped, symbols.ErrNoSymbol, symbols.ErrNoType, symbols.ErrNoMember,
	}
	f.Fuzz(func(t *testing.T, expr string) {
		list, err := k.Evaluate(t.Context(), expr)
		for _, e := range list {
			if e.Type == nil || e.Format(kernel.ValueStyle{Width: 80}) == "" {
				t.Errorf("%q: %v", expr, e)
			}
		}
		if err == nil || phys.Reason(err) != nil {
			return
		}
		for _, k := range known {
			if errors.Is(err, k) {
				return
			}
		}
		t.Errorf("%q: %v", expr, err)
	})
}
