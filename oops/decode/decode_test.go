package decode_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/kautopsy/kautopsy/oops/decode"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

const tiny = "../../testdata/tiny"

// files are those of the small kernel: its module, and where it is given its vmlinux.
func files(t *testing.T, vmlinux []byte) decode.Files {
	t.Helper()
	return func(module, _ string) (*dwarf.File, error) {
		b := vmlinux
		if module == "crashkit" {
			var err error
			if b, err = os.ReadFile(filepath.Join(tiny, "crashkit.ko")); err != nil {
				t.Fatal(err)
			}
		}
		if b == nil {
			return nil, dwarf.ErrNoDebug
		}
		return dwarf.Open(bytes.NewReader(b), int64(len(b)))
	}
}

func text(t *testing.T, f decode.Files, in string) (out string, places, told int, err error) {
	t.Helper()
	var b strings.Builder
	places, told, err = decode.New(f).Text(&b, []byte(in))
	return b.String(), places, told, err
}

// TestModule: the forms in which texts have had places, and what does not fit.
func TestModule(t *testing.T) {
	f := files(t, nil)
	const line = " (/usr/src/crashkit/crashkit.c:61)"
	for in, want := range map[string]string{
		"[    7.904460] RIP: 0010:ck_null_work+0x7/0x1f [crashkit]\r\n":                "[    7.904460] RIP: 0010:ck_null_work+0x7/0x1f [crashkit]" + line + "\r\n",
		" ? ck_null_work+0x7/0x1f [crashkit 0123abcd]":                                 " ? ck_null_work+0x7/0x1f [crashkit 0123abcd]" + line,
		" [<ffffffffc002a069>] ? ck_null_work+0x7/0x1f [crashkit]\n":                   " [<ffffffffc002a069>] ? ck_null_work+0x7/0x1f [crashkit]" + line + "\n",
		"RIP  [<ffffffffc002a069>] ck_null_work+0x7/0x1f [crashkit]\n":                 "RIP  [<ffffffffc002a069>] ck_null_work+0x7/0x1f [crashkit]" + line + "\n",
		" ck_null_work+0x7/0x25 [crashkit]\n":                                          "",
		" ck_null_worse+0x7/0x1f [crashkit]\n":                                         "",
		" schedule+0x7/0x1f\n":                                                         "",
		"Modules linked in: crashkit(O)\n":                                             "",
		"[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable": "",
	} {
		out, _, told, err := text(t, f, in)
		if want == "" {
			if out != in || told != 0 {
				t.Errorf("%q became %q", in, out)
			}
			continue
		}
		if out != want || told != 1 || err != nil {
			t.Errorf("%q became %q, %v; want %q", in, out, err, want)
		}
	}
	for in, want := range map[string]error{
		"ck_null_work+0x7/0x25 [crashkit]": decode.ErrOtherBuild, "ck_null_worse+0x7/0x1f [crashkit]": decode.ErrNoFunction,
		"schedule+0x7/0x1f": dwarf.ErrNoDebug,
	} {
		if _, places, told, err := text(t, f, in); !errors.Is(err, want) || places != 1 || told != 0 {
			t.Errorf("%q: %d of %d, %v", in, told, places, err)
		}
	}
}

// TestTiny decodes the report of the small kernel's crash.
func TestTiny(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	packed, err := os.Open(filepath.Join(tiny, "vmlinux.debug.xz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := xz.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	var vmlinux bytes.Buffer
	if _, err := vmlinux.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	in, err := os.ReadFile(filepath.Join(tiny, "truth", "vmcore-dmesg.txt"))
	if err != nil {
		t.Fatal(err)
	}
	f := files(t, vmlinux.Bytes())
	out, places, told, err := text(t, f, string(in))
	if places != 9 || told != 7 || !errors.Is(err, decode.ErrAmbiguous) {
		t.Errorf("%d of %d places, %v", told, places, err)
	}
	for _, want := range []string{
		"RIP: 0010:ck_null_work+0x7/0x1f [crashkit] (/usr/src/crashkit/crashkit.c:61)\n",
		" process_scheduled_works+0x147/0x215 (kernel/workqueue.c:3264 in process_one_work, kernel/workqueue.c:3345)\n",
		" kthread+0xb6/0xbe (kernel/kthread.c:389)\n",
		" ret_from_fork_asm+0x11/0x20 (arch/x86/entry/entry_64.S:244)\n",
		" ? list_del_init+0x24/0x24\n", // there are several of that size
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
	if got := strings.Count(out, "\n"); got != strings.Count(string(in), "\n") {
		t.Errorf("%d lines", got)
	}
	// An address without a name, moved by KASLR as the end of the text tells.
	const moved = "[<ffffffff9c045baf>] 0xffffffff9c045baf\n[ 1.0] ? 0xffffffff9c045baf\nKernel Offset: 0x1b000000 from 0xffffffff81000000\n"
	out, _, told, err = text(t, f, moved)
	if told != 2 || err != nil || strings.Count(out, " (kernel/workqueue.c:3") != 2 {
		t.Errorf("%q, %d, %v", out, told, err)
	}
}
