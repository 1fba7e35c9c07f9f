package kernel_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/symbols"
)

// TestDMI: the line that the kernel made of these texts when it began (dmi_format_ids).
func TestDMI(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		texts, err := g.DMI()
		if g.Name == "tiny" || g.Name == "arm64" { // without CONFIG_DMI, without names of data
			if !errors.Is(err, symbols.ErrNoSymbol) {
				t.Errorf("%v, %v", texts, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		by := map[string]string{}
		for _, p := range texts {
			by[p.Key] = p.Value
		}
		want := fmt.Sprintf("] DMI: %s %s, BIOS %s %s\n", by["DMI_SYS_VENDOR"], by["DMI_PRODUCT_NAME"], by["DMI_BIOS_VERSION"], by["DMI_BIOS_DATE"])
		if !strings.Contains(g.Truth(t, "dmesg.txt"), want) {
			t.Errorf("%q is not in the log: %v", want, texts)
		}
	})
}
