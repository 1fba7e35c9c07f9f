package ipc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/ipc"
	"github.com/kautopsy/kautopsy/phys"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

func namespace(t *testing.T, k *kernel.Kernel) kernel.Object {
	t.Helper()
	ns, err := ipc.Namespace(guesttest.Tasks(t, k)[1])
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// unix is a time as /proc/sysvipc has it.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// same compares lines with a file of /proc/sysvipc, but its heading.
func same(t *testing.T, g guesttest.Guest, file string, got []string) {
	t.Helper()
	_, want, _ := strings.Cut(g.Truth(t, file), "\n")
	if text := strings.Join(got, ""); text != want || want == "" {
		t.Errorf("%s\n got %s\nwant %s", file, text, want)
	}
}

// TestIPC: shared memory, semaphores and message queues are those of /proc/sysvipc, to the
// letter.
func TestIPC(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		ns := namespace(t, g.Kernel)
		var shm, sem, msg []string
		for s, err := range ipc.SharedMemory(t.Context(), g.Kernel, ns) {
			if err != nil {
				t.Error(err)
			}
			shm = append(shm, fmt.Sprintf("%10d %10d  %4o %21d %5d %5d  %5d %5d %5d %5d %5d %10d %10d %10d %21d %21d\n",
				s.Key, s.ID, s.Mode, s.Size, s.CPID, s.LPID, s.Attached, s.UID, s.GID, s.CUID, s.CGID,
				unix(s.Attach), unix(s.Detach), unix(s.Change), s.RSS, s.Swap))
		}
		for s, err := range ipc.Semaphores(t.Context(), g.Kernel, ns) {
			if err != nil {
				t.Error(err)
			}
			sem = append(sem, fmt.Sprintf("%10d %10d  %4o %10d %5d %5d %5d %5d %10d %10d\n",
				s.Key, s.ID, s.Mode, s.Count, s.UID, s.GID, s.CUID, s.CGID, unix(s.Operation), unix(s.Change)))
		}
		for m, err := range ipc.Queues(t.Context(), g.Kernel, ns) {
			if err != nil {
				t.Error(err)
			}
			msg = append(msg, fmt.Sprintf("%10d %10d  %4o  %10d %10d %5d %5d %5d %5d %5d %5d %10d %10d %10d\n",
				m.Key, m.ID, m.Mode, m.Bytes, m.Messages, m.LSPID, m.LRPID, m.UID, m.GID, m.CUID, m.CGID,
				unix(m.Send), unix(m.Receive), unix(m.Change)))
		}
		same(t, g, "ipc-shm", shm)
		same(t, g, "ipc-sem", sem)
		same(t, g, "ipc-msg", msg)
	})
}

// TestDamaged: an object that is not all there says so and what is known.
func TestDamaged(t *testing.T) {
	first := func(k *kernel.Kernel) (s ipc.Shm, err error) {
		for s, err = range ipc.SharedMemory(t.Context(), k, namespace(t, k)) {
			break
		}
		return s, err
	}
	for what, c := range map[string]struct {
		change func(m guesttest.Memory, s ipc.Shm)
		reason error
	}{
		"no file":             {func(m guesttest.Memory, s ipc.Shm) { m.PutUint(s.Object, "shm_file", 0) }, phys.ErrUnmapped},
		"a PID from nowhere":  {func(m guesttest.Memory, s ipc.Shm) { m.PutUint(s.Object, "shm_lprid", 0x18) }, phys.ErrUnmapped},
		"a page that is lost": {func(m guesttest.Memory, s ipc.Shm) { m.Lose(s.Addr) }, phys.ErrLost},
	} {
		k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
			s, err := first(k)
			if err != nil {
				t.Fatal(err)
			}
			c.change(m, s)
		})
		s, err := first(k)
		if !errors.Is(err, c.reason) || c.reason != phys.ErrLost && (s.Size != 1<<20 || s.Attached != 1) {
			t.Errorf("%s: %+v, %v", what, s, err)
		}
	}
}
