package symbols_test

import (
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/symbols"
)

// table stands for one that Kallsyms has read from a dump.
func table() *symbols.Table {
	return symbols.New([]symbols.Symbol{
		{Name: "_stext", Addr: 0xffffffff81000000, Type: 'T'},
		{Name: "vfs_read", Addr: 0xffffffff81000040, Type: 'T'},
		{Name: "__pfx_ksys_read", Addr: 0xffffffff810000f0, Type: 't'},
		{Name: "ksys_read", Addr: 0xffffffff81000100, Type: 't'},
		{Name: "_etext", Addr: 0xffffffff81000200, Type: 'T'},
	})
}

func ExampleTable_At() {
	s, offset, err := table().At(0xffffffff81000123)
	fmt.Printf("%s+%#x/%#x %v\n", s.Name, offset, s.Size, err)
	_, _, err = table().At(0xffffffff81000300)
	fmt.Println(errors.Is(err, symbols.ErrNoSymbol), err)
	// Output:
	// ksys_read+0x23/0x100 <nil>
	// true 0xffffffff81000300: no such symbol
}

func ExampleTable_Lookup() {
	s, err := table().Lookup("vfs_read")
	fmt.Println(s, err)
	// Output: ffffffff81000040 T vfs_read <nil>
}

func ExampleTable_Match() {
	for s := range table().Match("read") {
		fmt.Println(s)
	}
	// Output:
	// ffffffff81000040 T vfs_read
	// ffffffff810000f0 t __pfx_ksys_read
	// ffffffff81000100 t ksys_read
}

func ExampleMerge() {
	module := symbols.New([]symbols.Symbol{{Name: "ck_null_timer", Addr: 0xffffffffc0123000, Type: 't', Module: "crashkit"}})
	all := symbols.Merge(table(), module)
	s, offset, _ := all.At(0xffffffffc012300c)
	fmt.Printf("%s+%#x [%s]\n", s.Name, offset, s.Module)
	// Output: ck_null_timer+0xc [crashkit]
}
