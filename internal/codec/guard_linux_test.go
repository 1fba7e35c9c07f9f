package codec_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/kautopsy/kautopsy/internal/codec"
)

// guarded is memory with pages before and behind it that nobody may touch: it begins behind the
// one, or ends at the other.
func guarded(t *testing.T, n int, atEnd bool) []byte {
	t.Helper()
	page := os.Getpagesize()
	room := (n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, room+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(mem) })
	for _, guard := range [][]byte{mem[:page], mem[page+room:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if atEnd {
		return mem[page+room-n : page+room]
	}
	return mem[page:][:n]
}

// overlong are snappy streams of pages of 64 KiB that would go far beyond an end: the page's, by
// matches and by a literal, and their own.
func overlong() [][]byte {
	size := []byte{0x80, 0x80, 0x04}
	matches := append(bytes.Clone(size), 0, 'a')
	for range 1100 {
		matches = append(matches, 63<<2|2, 1, 0)
	}
	singles := append(bytes.Clone(size), bytes.Repeat([]byte{0, 'a'}, 30000)...)
	return [][]byte{
		matches,
		append(bytes.Clone(singles), 61<<2, 0xff, 0x80),             // 33024 literals
		append(bytes.Clone(singles), 63<<2, 0xff, 0xff, 0xff, 0xff), // 4 GiB of them
		append(append(bytes.Clone(matches[:3005]), 61<<2, 0x5f, 0xea), make([]byte, 60000)...),
	}
}

// TestGuarded: whatever a stream holds, decoding in place, in assembly where there is some, does
// not leave the memory that it was given. Where it does, the test dies.
func TestGuarded(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	r := rand.New(rand.NewPCG(3, 4))
	pages := append(realPages(t, 4096, 64), realPages(t, 65536, 8)...)
	for _, atEnd := range []bool{false, true} {
		out, in := guarded(t, codec.Spare, atEnd), guarded(t, codec.Spare, atEnd)
		var d codec.Decoder
		good := 0
		for _, m := range []codec.Method{codec.LZO, codec.Snappy, codec.Zstd} {
			for _, page := range pages {
				whole := encode(t, m, page)
				for range rounds {
					n := copy(in, damage(r, bytes.Clone(whole)))
					if d.DecodeInPlace(m, out[:len(page)], in[:n]) == nil {
						good++
					}
				}
			}
		}
		for i, src := range overlong() {
			n := copy(in, src)
			if d.DecodeInPlace(codec.Snappy, out[:1<<16], in[:n]) == nil {
				t.Errorf("overlong stream %d is a page", i)
			}
		}
		if good == 0 {
			t.Error("no stream was left whole enough to be decoded")
		}
	}
}
