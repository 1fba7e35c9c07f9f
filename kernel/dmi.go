package kernel

import (
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// maxDMI bounds the texts; Linux 7.2 has 24 of them.
const maxDMI = 256

// DMI are the texts by which the firmware names the machine: BIOS, product, board, chassis and
// their serial numbers (drivers/firmware/dmi_scan.c: dmi_ident). The keys are those of enum
// dmi_field: DMI_SYS_VENDOR; texts that the firmware does not have are left out. The error
// wraps symbols.ErrNoSymbol for a kernel that does not keep them.
func (k *Kernel) DMI() (texts []Property, err error) {
	sym, err := k.Symbol("dmi_ident")
	if err != nil {
		return nil, err
	}
	ts, err := k.Types()
	if err != nil {
		return nil, err
	}
	fields, err := symbols.Find(ts, "enum dmi_field")
	if err != nil {
		return nil, err
	}
	end := int64(0)
	for _, f := range fields.Values {
		if f.Name == "DMI_STRING_MAX" {
			end = f.Value
		}
	}
	if end <= 0 || end > maxDMI {
		return nil, fmt.Errorf("enum dmi_field with %d texts: %w", end, phys.ErrUnsupported)
	}
	for _, f := range fields.Values {
		if f.Value <= 0 || f.Value >= end { // DMI_NONE is 0
			continue
		}
		at, err := k.pointer(sym.Addr + uint64(f.Value)*uint64(k.ptrSize()))
		if err == nil && at == 0 {
			continue
		}
		text := ""
		if err == nil {
			text, err = k.text(at)
		}
		if err != nil {
			return texts, fmt.Errorf("%s: %w", f.Name, err)
		}
		texts = append(texts, Property{f.Name, strings.TrimSpace(text)})
	}
	return texts, nil
}
