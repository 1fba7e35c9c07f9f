package kernel_test

import (
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/kernel"
)

// TestFormat prints records in crash 9.0.2's forms of log and its options; the lines come
// from its output.
func TestFormat(t *testing.T) {
	boot := time.Date(2026, 11, 21, 13, 19, 10, 0, time.UTC)
	r := kernel.Record{
		Since: 414243 * time.Microsecond, Level: 6, Caller: "T1", Text: []byte("acpi PNP0A03:00: host bridge window"),
		Dict: []kernel.Property{{Key: "SUBSYSTEM", Value: "acpi"}, {Key: "DEVICE", Value: "+acpi:PNP0A03:00"}},
	}
	const text = "acpi PNP0A03:00: host bridge window\n"
	tests := []struct {
		name string
		f    kernel.Format
		want string
	}{
		{"log", kernel.Format{}, "[    0.414243] " + text},
		{"log -T", kernel.Format{Boot: boot}, "[Sat Nov 21 13:19:10 UTC 2026] " + text},
		{"log -t", kernel.Format{NoTime: true}, text},
		{"log -m", kernel.Format{Level: true}, "[    0.414243] <6>" + text},
		{"log -c", kernel.Format{Caller: true}, "[    0.414243] [    T1] " + text},
		{
			"log -d",
			kernel.Format{Dict: true},
			"[    0.414243] " + text + "               SUBSYSTEM=acpi\n               DEVICE=+acpi:PNP0A03:00\n",
		},
		{"log -tm", kernel.Format{NoTime: true, Level: true}, "<6>" + text},
		{"log -td", kernel.Format{NoTime: true, Dict: true}, text + "SUBSYSTEM=acpi\nDEVICE=+acpi:PNP0A03:00\n"},
		{
			"log -cmd",
			kernel.Format{Caller: true, Level: true, Dict: true},
			"[    0.414243] [    T1] <6>" + text + "                        SUBSYSTEM=acpi\n                        DEVICE=+acpi:PNP0A03:00\n",
		},
	}
	for _, tt := range tests {
		if got := string(tt.f.Append([]byte("before\n"), r)); got != "before\n"+tt.want {
			t.Errorf("%s:\n%q\nwant\n%q", tt.name, got, tt.want)
		}
	}
}

// TestFormatEscapes: only what is printable or white space in the C locale stands as it is.
func TestFormatEscapes(t *testing.T) {
	var all []byte
	for c := range 256 {
		all = append(all, byte(c))
	}
	const want = `\x00\x01\x02\x03\x04\x05\x06\x07\x08` + "\t\n\v\f\r" + `\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f` +
		" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~" + `\x7f\x80`
	got := string(kernel.Format{NoTime: true}.Append(nil, kernel.Record{Text: all}))
	if got[:len(want)] != want {
		t.Errorf("%q, want %q", got[:len(want)], want)
	}
	if tail := got[len(got)-5:]; tail != `\xff`+"\n" {
		t.Errorf("ends in %q", tail)
	}
}

// TestFormatStamp: as wide as the time asks for.
func TestFormatStamp(t *testing.T) {
	for since, want := range map[time.Duration]string{
		0:                     "[    0.000000] \n",
		999 * time.Nanosecond: "[    0.000000] \n",
		123456 * time.Hour:    "[444441600.000000] \n",
		-1:                    "[18446744073.709551] \n", // a damaged one, as vmcore-dmesg prints it
	} {
		if got := string(kernel.Format{}.Append(nil, kernel.Record{Since: since})); got != want {
			t.Errorf("%v: %q, want %q", since, got, want)
		}
	}
}
