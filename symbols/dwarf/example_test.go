package dwarf_test

import (
	"fmt"
	"os"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

func ExampleFile_Source() {
	r, err := os.Open("../../testdata/tiny/crashkit.ko")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := dwarf.Open(r, st.Size())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	for s, err := range f.Symbols() {
		if err != nil {
			fmt.Println(err)
			return
		}
		if s.Name != "ck_listcorrupt" {
			continue
		}
		chain, err := f.Source(s.Addr + 0x14)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, at := range chain {
			fmt.Println(at.Function, at, at.Inlined)
		}
	}
	// Output:
	// __list_del_entry_valid include/linux/list.h:124 true
	// __list_del_entry include/linux/list.h:215 true
	// list_del include/linux/list.h:229 true
	// ck_listcorrupt /usr/src/crashkit/crashkit.c:78 false
}
