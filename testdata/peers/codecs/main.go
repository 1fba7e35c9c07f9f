// Codecs measures package codec, and the libraries beside it, on packs of codecbench.c.
//
//	codecs pages DUMP >PAGES      the dump's pages, each content once, zeroes left out
//	codecs run [SECONDS] <PACK    decodes the pack, SECONDS of CPU time per decoder
//	codecs code [SECONDS] <PACK   codes the pack's pages, likewise
//	codecs recode <PACK >PACK     the pack with kautopsy's streams in place of the libraries'
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/vmcore"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "codecs:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "pages":
		return pages(args[1], os.Stdout)
	case len(args) == 1 && args[0] == "recode":
		return recode(os.Stdin, os.Stdout)
	case len(args) == 0 || args[0] != "run" && args[0] != "code":
		return errors.New("usage: codecs pages DUMP | run [SECONDS] | code [SECONDS] | recode")
	}
	seconds := 1.0
	if len(args) > 1 {
		var err error
		if seconds, err = strconv.ParseFloat(args[1], 64); err != nil {
			return err
		}
	}
	if args[0] == "code" {
		return code(os.Stdin, seconds)
	}
	return run(os.Stdin, seconds)
}

// pages writes each page of a dump that is like no other before it, and not all zeroes.
func pages(name string, out io.Writer) error {
	d, err := vmcore.Open(name, nil)
	if err != nil {
		return err
	}
	defer d.Close()
	w, seed := bufio.NewWriter(out), maphash.MakeSeed()
	seen := map[uint64]bool{maphash.Bytes(seed, make([]byte, d.PageSize())): true}
	for page, err := range d.Pages(context.Background()) {
		if err != nil {
			return err
		}
		if sum := maphash.Bytes(seed, page.Data); !seen[sum] {
			seen[sum] = true
			if _, err := w.Write(page.Data); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

// coded is a record of a pack.
type coded struct {
	method codec.Method
	page   uint32
	bytes  []byte
}

func load(r io.Reader) ([]coded, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var all []coded
	for len(b) >= 12 {
		c := coded{codec.Method(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:]), nil}
		n := int(binary.LittleEndian.Uint32(b[8:]))
		if n > len(b)-12 {
			return nil, errors.New("the pack is cut")
		}
		c.bytes, b = b[12:12+n:12+n], b[12+n:]
		all = append(all, c)
	}
	if len(all) == 0 || all[0].method != codec.Raw {
		return nil, errors.New("not a pack")
	}
	return all, nil
}

// decoder fills dst with the page that src holds.
type decoder struct {
	method codec.Method
	name   string
	decode func(dst, src []byte) error
}

func decoders() ([]decoder, error) {
	frames, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	var room []byte // with spare capacity frames take the library's wide copies
	var all []decoder
	for _, m := range []codec.Method{codec.Zlib, codec.LZO, codec.Snappy, codec.Zstd} {
		d := new(codec.Decoder)
		all = append(all, decoder{m, "kautopsy", func(dst, src []byte) error { return d.Decode(m, dst, src) }})
	}
	return append(all,
		decoder{codec.Zlib, "klauspost", inflater()},
		decoder{codec.LZO, "anchore", func(dst, src []byte) error {
			_, err := lzo.Decompress(src, dst)
			return err
		}},
		decoder{codec.Snappy, "klauspost", func(dst, src []byte) error {
			_, err := s2.Decode(dst, src)
			return err
		}},
		decoder{codec.Zstd, "klauspost", func(dst, src []byte) error {
			if cap(room) < len(dst)+64 {
				room = make([]byte, 0, len(dst)+64)
			}
			out, err := frames.DecodeAll(src, room)
			copy(dst, out)
			return err
		}},
	), nil
}

// inflater is the library's zlib reader, kept and reset.
func inflater() func(dst, src []byte) error {
	in := new(bytes.Reader)
	var r io.ReadCloser
	return func(dst, src []byte) (err error) {
		in.Reset(src)
		if r == nil {
			r, err = zlib.NewReader(in)
		} else {
			err = r.(zlib.Resetter).Reset(in, nil)
		}
		if err == nil {
			_, err = io.ReadFull(r, dst)
		}
		return err
	}
}

func run(r io.Reader, seconds float64) error {
	all, err := load(r)
	if err != nil {
		return err
	}
	ds, err := decoders()
	if err != nil {
		return err
	}
	for _, d := range ds {
		if err := measure(d, all, seconds); err != nil {
			return fmt.Errorf("%v by %s: %w", d.method, d.name, err)
		}
	}
	return nil
}

// measure prints the median rate of rounds over a method's pages, which the first compares.
func measure(d decoder, all []coded, seconds float64) error {
	var work []coded
	dst := make([]byte, len(all[0].bytes))
	for _, c := range all {
		if c.method != d.method {
			continue
		}
		work = append(work, c)
		if err := d.decode(dst, c.bytes); err != nil {
			return fmt.Errorf("page %d: %w", c.page, err)
		}
		if !bytes.Equal(dst, all[c.page].bytes) {
			return fmt.Errorf("page %d: other bytes", c.page)
		}
	}
	var rates []float64
	for begin := cpuSeconds(); len(work) > 0 && cpuSeconds()-begin < seconds; {
		t := cpuSeconds()
		for _, c := range work {
			if err := d.decode(dst, c.bytes); err != nil {
				return err
			}
		}
		rates = append(rates, float64(len(work)*len(dst))/(cpuSeconds()-t)/1e6)
	}
	if len(rates) > 0 {
		slices.Sort(rates)
		fmt.Printf("%v\t%s\t%.1f\n", d.method, d.name, rates[len(rates)/2])
	}
	return nil
}

// cpuSeconds is what this process has used of a CPU.
func cpuSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
