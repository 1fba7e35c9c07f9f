package oops

import (
	"encoding/json"
	"testing"
	"time"
)

func TestSplit(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		raw, msg, stamp, caller string
		time                    time.Duration
		timed                   bool
	}{
		{"BUG: x", "BUG: x", "", "", 0, false},
		{"[    1.500000] BUG: x", "BUG: x", "1.500000", "", second * 3 / 2, true},
		{"[    1.500000]  fn+0x1/0x2", " fn+0x1/0x2", "1.500000", "", second * 3 / 2, true},
		{"[    1.500000] [  T187] BUG: x", "BUG: x", "1.500000", "T187", second * 3 / 2, true},
		{"[    1.500000][    C0] BUG: x", "BUG: x", "1.500000", "C0", second * 3 / 2, true},
		{"<6>[    1.500000] BUG: x", "BUG: x", "1.500000", "", second * 3 / 2, true},
		{"<4>BUG: x", "BUG: x", "", "", 0, false},
		{"Jan 19 00:06:19 host kernel: [    1.500000] BUG: x", "BUG: x", "1.500000", "", second * 3 / 2, true},
		{"Jan 19 00:06:19 host kernel: BUG: x", "BUG: x", "", "", 0, false},
		{"2026-11-21T13:19:06.1+00:00 host kernel: BUG: x", "BUG: x", "", "", 0, false},
		{"[    1.500000] host kernel: BUG: x", "BUG: x", "1.500000", "", second * 3 / 2, true},
		{"2017-04-08 03:34:51    [29201245.714153] BUG: x", "BUG: x", "29201245.714153", "", 29201245714153 * time.Microsecond, true},
		{"rt2m09613 login: [    1.500000] BUG: x", "BUG: x", "1.500000", "", second * 3 / 2, true},
		{"[Sat Nov 21 13:19:10 2026] BUG: x", "BUG: x", "Sat Nov 21 13:19:10 2026", "", 0, false},
		{"[Sat Nov  1 13:19:10 2026] BUG: x", "BUG: x", "Sat Nov  1 13:19:10 2026", "", 0, false},
		{"6,339,1500000,-,caller=T1;BUG: x", "BUG: x", "1500000", "T1", second * 3 / 2, true},
		{"6,339,1500000,-;BUG: x", "BUG: x", "1500000", "", second * 3 / 2, true},
		{"> BUG: x", "BUG: x", "", "", 0, false},
		{"> > [    1.500000] BUG: x", "BUG: x", "1.500000", "", second * 3 / 2, true},
		{"`BUG: x`", "BUG: x", "", "", 0, false},
		{"\x1b[0;1;31mBUG: x\x1b[0m\r", "BUG: x", "", "", 0, false},
		{"\x00\x00[    1.500000] BUG:\x00 x\r", "BUG: x", "1.500000", "", second * 3 / 2, true},
		{" [<ffffffff81000000>] fn+0x1/0x2", " [<ffffffff81000000>] fn+0x1/0x2", "", "", 0, false},
		// Not prefixes.
		{"Kernel panic - not syncing: kernel: panic_on_warn set ...", "Kernel panic - not syncing: kernel: panic_on_warn set ...", "", "", 0, false},
		{"[   12] x", "[   12] x", "", "", 0, false},
		{"[12345678901234567890.123456] x", "[12345678901234567890.123456] x", "", "", 0, false},
		{"[9999999999.123456] x", "x", "9999999999.123456", "", 0, false},
		{"\x1b", "", "", "", 0, false},
		{"", "", "", "", 0, false},
	} {
		var s splitter
		l := s.split([]byte(c.raw), 1)
		if string(l.msg) != c.msg || string(l.stamp) != c.stamp || string(l.caller) != c.caller {
			t.Errorf("%q: message %q, stamp %q, caller %q", c.raw, l.msg, l.stamp, l.caller)
		}
		if l.time != c.time || l.timed != c.timed {
			t.Errorf("%q: time %v %v", c.raw, l.time, l.timed)
		}
	}
}

func TestParseFrame(t *testing.T) {
	address := func(a uint64) *Address { v := Address(a); return &v }
	for _, c := range []struct {
		in   string
		want Frame
		ok   bool
	}{
		{" fn+0x10/0x20", Frame{Symbol: "fn", Offset: 0x10, Size: 0x20}, true},
		{" ? fn.isra.0+0x10/0x20 [mod]", Frame{Symbol: "fn.isra.0", Offset: 0x10, Size: 0x20, Module: "mod", Unsure: true}, true},
		{" fn+0x0/0x20 [mod 0123456789abcdef]", Frame{Symbol: "fn", Size: 0x20, Module: "mod"}, true},
		{" [<ffffffff8104e2ae>] ? fn+0x1/0x2", Frame{Symbol: "fn", Offset: 1, Size: 2, Unsure: true, Address: address(0xffffffff8104e2ae)}, true},
		{"  [] kmsg_dump+0x113/0x180", Frame{Symbol: "kmsg_dump", Offset: 0x113, Size: 0x180}, true},
		{" fn+0x20/0x60 (P)", Frame{Symbol: "fn", Offset: 0x20, Size: 0x60}, true},
		{" [c00000000a0b3a80] [c000000000500010] fn+0x10/0x20 (unreliable)", Frame{Symbol: "fn", Offset: 0x10, Size: 0x20, Unsure: true, Address: address(0xc000000000500010)}, true},
		{" ([<0000000000123456>] fn+0x10/0x20)", Frame{Symbol: "fn", Offset: 0x10, Size: 0x20, Address: address(0x123456)}, true},
		{" 0xffffffffc0001000", Frame{Address: address(0xffffffffc0001000)}, true},
		{" fn+0x10/0x20 and more", Frame{}, false},
		{" fn+16", Frame{}, false},
		{" [<ffffffff812cdb54>]是", Frame{}, false},
		{" Mem-Info:", Frame{}, false},
		{" fn+0x/0x", Frame{}, false},
		{"", Frame{}, false},
	} {
		got, ok := parseFrame(c.in)
		if ok != c.ok {
			t.Errorf("%q: %v", c.in, ok)
			continue
		}
		if ok && (got.String() != c.want.String() || got.Unsure != c.want.Unsure || !sameAddress(got.Address, c.want.Address)) {
			t.Errorf("%q: %+v, want %+v", c.in, got, c.want)
		}
	}
}

func TestFrameJSON(t *testing.T) {
	a := Address(0x1000)
	for want, f := range map[string]Frame{
		`{"symbol":"fn","size":32,"offset":0}`: {Symbol: "fn", Size: 32},
		`{"address":"0x1000"}`:                 {Address: &a},
	} {
		b, err := json.Marshal(f)
		if err != nil || string(b) != want {
			t.Errorf("%s, %v; want %s", b, err, want)
		}
		var back Frame
		if err := json.Unmarshal(b, &back); err != nil || back.String() != f.String() {
			t.Errorf("%s read back as %s, %v", b, back, err)
		}
	}
}

func sameAddress(a, b *Address) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func TestRegisters(t *testing.T) {
	set := make(map[string]Address)
	for _, s := range []string{
		"RSP: 0018:ffffce80000d0ea8 EFLAGS: 00000202",
		"FS:  0000000000000001(0000) GS:ffff8c78de900000(0000) knlGS:0000000000000002",
		"R10: 0000000000000005 R11: ffffce80000d0ff8",
		"sp : ffff80000a51bc60",
		"x29: ffff80000a51bc60 x9 : 0000000000000009",
	} {
		if !registers(s, set) {
			t.Errorf("%q is no register line", s)
		}
	}
	want := map[string]Address{
		"RSP": 0xffffce80000d0ea8, "EFLAGS": 0x202, "FS": 1, "GS": 0xffff8c78de900000, "knlGS": 2,
		"R10": 5, "R11": 0xffffce80000d0ff8, "sp": 0xffff80000a51bc60, "x29": 0xffff80000a51bc60, "x9": 9,
	}
	if len(set) != len(want) {
		t.Errorf("%d registers, want %d: %v", len(set), len(want), set)
	}
	for name, v := range want {
		if set[name] != v {
			t.Errorf("%s %v, want %v", name, set[name], v)
		}
	}
	for _, s := range []string{"", "RAX", "note: collect[1] exited", "a: 1", "x100: 0", "RAX: zzz", "PGD 0 P4D 0"} {
		if registers(s, set) {
			t.Errorf("%q is a register line", s)
		}
	}
}
