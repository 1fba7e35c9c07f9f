package vmcore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// A dump is opened by its name, whatever container it is in.
func ExampleOpen() {
	d, err := vmcore.Open("../testdata/tiny/vmcore.zlib", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	h := d.Header
	fmt.Printf("%s version %d, %s, pages of %d bytes\n", h.Format, h.Version, h.Codec, d.PageSize())
	fmt.Println(h.Utsname.Nodename, h.Utsname.Release, h.Arch, h.Time)
	// Output:
	// kdump version 6, zlib, pages of 4096 bytes
	// inner-host 6.12.107-tiny x86_64 2026-11-21 14:26:45 +0000 UTC
}

// Any part of a split set brings the others that lie beside it.
func ExampleOpen_split() {
	d, err := vmcore.Open("../testdata/tiny/vmcore.split.2", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	c, err := d.Counts()
	fmt.Println(d.Header.Parts, "parts,", c.Present, "pages,", c.Excluded, "excluded,", err)
	// Output: 3 parts, 7317 pages, 18144 excluded, <nil>
}

// What is not in the dump comes as an error with a reason and a place.
func ExampleDump_ReadPhys() {
	d, err := vmcore.Open("../testdata/tiny/vmcore.zlib", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	info, err := d.VMCoreInfo(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	uts, _ := info.Symbol("init_uts_ns")
	base, _ := info.Number("phys_base")
	b := make([]byte, 5)
	n, err := d.ReadPhys(b, phys.Addr(uts-0xffffffff80000000+uint64(base)))
	fmt.Printf("%q %v\n", b[:n], err)

	n, err = d.ReadPhys(make([]byte, 4096), 0xa0000)
	var pe *phys.PageError
	if errors.As(err, &pe) {
		fmt.Println(n, errors.Is(err, phys.ErrHole), pe.Span)
	}
	// Output:
	// "Linux" <nil>
	// 0 true 0xa0000-0xa1000
}

// Pages are decoded in parallel and come in order.
func ExampleDump_Pages() {
	d, err := vmcore.Open("../testdata/tiny/vmcore.zlib", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	pages, zero := 0, 0
	for page, err := range d.Pages(context.Background()) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		if pages++; page.Data[0] == 0 && string(page.Data[1:]) == string(page.Data[:len(page.Data)-1]) {
			zero++
		}
	}
	fmt.Println(pages, "pages,", zero, "of zeros")
	// Output: 7317 pages, 1456 of zeros
}

// Scan looks at pages on all processors at once; deliver gathers in their order.
func ExampleDump_Scan() {
	d, err := vmcore.Open("../testdata/tiny/vmcore.zlib", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	found := 0
	err = d.Scan(context.Background(), func(b *vmcore.Batch) error {
		n := 0
		for _, data := range b.Data {
			n += bytes.Count(data, []byte("inner-host"))
		}
		b.Out = n
		return nil
	}, func(b *vmcore.Batch) error { found += b.Out.(int); return nil })
	fmt.Println(found > 0, err)
	// Output: true <nil>
}

// A dump is written in another form.
func ExampleDump_Convert() {
	d, err := vmcore.Open("../testdata/tiny/vmcore.split.2", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	out, err := os.CreateTemp("", "vmcore")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	done, err := d.Convert(context.Background(), vmcore.Conversion{Format: "kdump", Codec: "zstd"}, []io.WriterAt{out}, nil)
	fmt.Println(done.Pages, "pages,", done.Lost, "lost,", err)
	// Output: 7317 pages, 0 lost, <nil>
}
