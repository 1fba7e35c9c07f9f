package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zlib"

	"github.com/kautopsy/kautopsy/internal/codec"
)

// encoder codes a page into dst, and returns how many bytes that takes, or 0.
type encoder struct {
	method codec.Method
	name   string
	encode func(dst, src []byte) (int, error)
}

func encoders() []encoder {
	var all []encoder
	for _, m := range []codec.Method{codec.Zlib, codec.LZO, codec.Snappy, codec.Zstd} {
		e := new(codec.Encoder)
		all = append(all, encoder{m, "kautopsy", func(dst, src []byte) (int, error) { return e.Encode(m, dst, src) }})
	}
	var out bytes.Buffer
	w, _ := zlib.NewWriterLevel(&out, zlib.BestSpeed) // that is a level
	return append(all, encoder{codec.Zlib, "klauspost", func(_, src []byte) (int, error) {
		out.Reset()
		w.Reset(&out)
		if _, err := w.Write(src); err != nil {
			return 0, err
		}
		err := w.Close()
		return out.Len(), err
	}})
}

// rawPages are the pages that a pack is made of.
func rawPages(r io.Reader) ([][]byte, error) {
	all, err := load(r)
	var pages [][]byte
	for _, c := range all {
		if c.method == codec.Raw {
			pages = append(pages, c.bytes)
		}
	}
	return pages, err
}

// code prints each encoder's median rate over all pages, and what they take then.
func code(r io.Reader, seconds float64) error {
	pages, err := rawPages(r)
	if err != nil {
		return err
	}
	dst := make([]byte, len(pages[0]))
	for _, e := range encoders() {
		var rates []float64
		total := 0
		for begin := cpuSeconds(); len(rates) == 0 || cpuSeconds()-begin < seconds; {
			t := cpuSeconds()
			total = 0
			for _, page := range pages {
				n, err := e.encode(dst, page)
				if err != nil {
					return fmt.Errorf("%v by %s: %w", e.method, e.name, err)
				}
				if n == 0 || n > len(page) {
					n = len(page)
				}
				total += n
			}
			rates = append(rates, float64(len(pages)*len(dst))/(cpuSeconds()-t)/1e6)
		}
		slices.Sort(rates)
		fmt.Printf("%v\t%s\t%.1f\t%d\n", e.method, e.name, rates[len(rates)/2], total)
	}
	return nil
}

// recode writes a pack of the same pages, coded by kautopsy.
func recode(r io.Reader, out io.Writer) error {
	pages, err := rawPages(r)
	if err != nil {
		return err
	}
	w, dst := bufio.NewWriter(out), make([]byte, len(pages[0]))
	put := func(m codec.Method, page int, b []byte) {
		_ = binary.Write(w, binary.LittleEndian, [3]uint32{uint32(m), uint32(page), uint32(len(b))}) // Flush tells
		_, _ = w.Write(b)
	}
	for i, page := range pages {
		put(codec.Raw, i, page)
	}
	var e codec.Encoder
	for _, m := range []codec.Method{codec.Zlib, codec.LZO, codec.Snappy, codec.Zstd} {
		for i, page := range pages {
			n, err := e.Encode(m, dst, page)
			if err != nil {
				return err
			}
			if n != 0 {
				put(m, i, dst[:n])
			}
		}
	}
	return w.Flush()
}
