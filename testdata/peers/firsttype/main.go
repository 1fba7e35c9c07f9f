// Command firsttype looks up one type in the debug information of a vmlinux: for firsttype.py, which
// measures it beside drgn.
//
//	types VMLINUX FOLDER       FOLDER is the cache of the index of names, "" is none
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

func main() {
	r, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	st, err := r.Stat()
	if err != nil {
		log.Fatal(err)
	}
	f, err := dwarf.Open(r, st.Size())
	if err != nil {
		log.Fatal(err)
	}
	f.CacheNames(os.Args[2])
	ts, err := f.Types()
	if err != nil {
		log.Fatal(err)
	}
	t, err := symbols.Find(ts, "struct task_struct", "comm")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Size())
}
