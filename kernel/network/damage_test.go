package network_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/network"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// TestHostile writes nonsense into interfaces, sockets, neighbours and routes: every walk ends, and what could not be read has a reason.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("walks many dumps in short mode")
	}
	// the small guest has no network
	file, err := os.ReadFile(dumptest.Unpacked(t, dumptest.Corpus(t, "6.1", "vmcore.raw.xz")))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := answers(t, file)
	if err != nil || len(whole) < 25 {
		t.Fatalf("%d things in the whole dump, %v", len(whole), err)
	}
	at := places(t, file, whole)
	wrong := 0
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		undo := map[int][]byte{}
		for range 40 {
			i := at[rnd.IntN(len(at))] + 8*rnd.IntN(64)
			if undo[i] == nil {
				undo[i] = bytes.Clone(file[i : i+8])
			}
			spoil(rnd, file[i:i+8], whole)
		}
		if _, err := answers(t, file); err != nil {
			wrong++
		}
		for i, b := range undo {
			copy(file[i:], b)
		}
	}
	t.Logf("%d of 30 damaged dumps told so", wrong)
	if wrong < 10 {
		t.Error("the damage hardly shows")
	}
}

// spoil overwrites one word: with nothing, noise, or the address of something else.
func spoil(rnd *rand.Rand, word []byte, whole []uint64) {
	v := [...]uint64{0, rnd.Uint64(), 1<<64 - 1, whole[rnd.IntN(len(whole))], whole[rnd.IntN(len(whole))] + 0x68}[rnd.IntN(5)]
	binary.LittleEndian.PutUint64(word, v)
}

// places are where in the file addresses are. Its pages are not compressed.
func places(t *testing.T, file []byte, addrs []uint64) (list []int) {
	t.Helper()
	k := open(t, file)
	page := make([]byte, 4096)
	for _, va := range addrs {
		if _, err := k.ReadVirt(page, va&^0xfff); err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(file, page); i >= 0 {
			list = append(list, i+int(va&0xfff))
		}
	}
	if len(list) < len(addrs)/2 {
		t.Fatalf("%d of %d pages found", len(list), len(addrs))
	}
	return list
}

func open(t *testing.T, file []byte) *kernel.Kernel {
	t.Helper()
	d, err := vmcore.New(bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	k, err := kernel.Open(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// answers are the addresses of everything that there is, and what could not be read.
func answers(t *testing.T, file []byte) (all []uint64, errs error) {
	t.Helper()
	k := open(t, file)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	take := func(at uint64, err error) {
		if at != 0 {
			all = append(all, at)
		}
		if err != nil && phys.Reason(err) == nil && !errors.Is(err, symbols.ErrNoMember) {
			t.Errorf("%#x: without a reason: %v", at, err)
		}
		errs = errors.Join(errs, err)
	}
	for task, err := range k.Tasks(ctx) {
		if err != nil || task.PID != 1 {
			continue
		}
		ns, err := network.Namespace(task)
		if err != nil {
			take(0, err)
			continue
		}
		for i, err := range network.Interfaces(ctx, k, ns) {
			take(i.Addr, err)
		}
		for s, err := range network.Sockets(ctx, k, ns) {
			take(s.Addr, err)
		}
		for r, err := range network.Routes(ctx, k, ns) {
			take(r.Addr, err)
		}
		list, err := network.Neighbours(ctx, k, ns)
		for _, n := range list {
			take(n.Addr, nil)
		}
		take(0, err)
	}
	if ctx.Err() != nil {
		t.Errorf("no end within 30 s")
	}
	return all, errs
}
