package crashshell

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limits of a child.
type limits struct {
	memory uint64        // address space in bytes
	cpu    time.Duration // processor time
}

// maxFile bounds the files a child writes: some unlinked temporary ones. With none crash
// dies of SIGXFSZ.
const maxFile = 64 << 20

// apply sets the limits of a process that has just begun. The number of processes is left
// alone: it counts the user's threads, of which gdb needs two. A limit that cannot be set is
// not worth a failure.
func (l limits) apply(pid int) {
	for _, r := range []struct {
		what  int
		limit uint64
	}{
		{unix.RLIMIT_AS, l.memory},
		{unix.RLIMIT_CPU, uint64(l.cpu / time.Second)},
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_FSIZE, maxFile},
	} {
		_ = unix.Prlimit(pid, r.what, &unix.Rlimit{Cur: r.limit, Max: r.limit}, nil)
	}
}

// ownSession gives a child no terminal and a group of its own, and ends it with its parent
// until crash sees to that itself.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// waitExited waits until a child has ended, and leaves it to be reaped.
func waitExited(pid int) {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return
		}
	}
}

// killGroup kills what is left of a process group.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
