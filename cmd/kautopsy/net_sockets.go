package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/network"
	"github.com/kautopsy/kautopsy/kernel/vfs"
	"github.com/kautopsy/kautopsy/symbols"
)

// socket is a socket with the processes that have it open.
type socket struct {
	network.Socket
	owners []socketOwner
	broken bool // it could not be read in full
}

type socketOwner struct {
	PID  int    `json:"pid"`
	Comm string `json:"comm"`
	FD   int    `json:"fd"`
}

// taskSockets are the sockets that tasks have open.
func taskSockets(env *environment, k *kernel.Kernel, words []string, lack *lacking) ([]socket, error) {
	tasks, missing, err := pickOrCrashed(env, k, words)
	if err != nil {
		return nil, err
	}
	for _, m := range missing {
		lack.add(m.What, m.Err)
	}
	return openSockets(env, k, tasks, lack), nil
}

// openSockets finds sockets through the files of tasks, in the order of these.
func openSockets(env *environment, k *kernel.Kernel, tasks []kernel.Task, lack *lacking) (list []socket) {
	at := map[uint64]int{} // place in the list by address
	const sock = 0o140000
	for _, t := range tasks {
		for f, err := range vfs.Files(env.ctx, k, t) {
			lack.add("files", err)
			if f.Type&0o170000 != sock {
				continue
			}
			s, err := network.OfInode(k, f.Inode)
			lack.add("sockets", err)
			if s.Addr == 0 {
				continue
			}
			i, seen := at[s.Addr]
			if !seen {
				i = len(list)
				at[s.Addr], list = i, append(list, socket{Socket: s, broken: err != nil})
			}
			list[i].owners = append(list[i].owners, socketOwner{t.PID, t.Comm, f.FD})
		}
	}
	return list
}

// allSockets are those of the tables, and of other kinds those that processes have open.
func allSockets(env *environment, k *kernel.Kernel, ns kernel.Object, all []kernel.Task, lack *lacking) (list []socket) {
	leaders := slices.DeleteFunc(slices.Clone(all), func(t kernel.Task) bool { return t.PID != t.TGID || t.Idle })
	open := map[uint64]socket{}
	for _, s := range openSockets(env, k, leaders, lack) {
		if s.Net == ns.Addr {
			open[s.Addr] = s
		}
	}
	for s, err := range network.Sockets(env.ctx, k, ns) {
		if errors.Is(err, symbols.ErrNoSymbol) {
			err = fmt.Errorf("%w; of these those that processes have open are shown", err)
		}
		lack.add("sockets", err)
		if s.Addr != 0 {
			list = append(list, socket{s, open[s.Addr].owners, err != nil})
			delete(open, s.Addr)
		}
	}
	for _, s := range open {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b socket) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Proto(), b.Proto()),
			cmp.Compare(a.Local.Port(), b.Local.Port()), cmp.Compare(a.Inode, b.Inode), cmp.Compare(a.Addr, b.Addr))
	})
	return list
}

// rank puts what listens first and AF_UNIX last.
func rank(s socket) int {
	switch {
	case s.Proto() == "unix":
		return 2
	case s.StateName() == "LISTEN":
		return 0
	}
	return 1
}

// printSockets prints a line a socket, with the descriptor where a task was asked for.
func printSockets(w io.Writer, list []socket, byTask bool) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No sockets")
		return
	}
	here, there := len("LOCAL"), len("REMOTE")
	for _, s := range list {
		local, remote := s.ends()
		here, there = max(here, min(columns(printable(local)), 40)), max(there, min(columns(remote), 40))
	}
	fmt.Fprintf(w, "      SOCK       PROTO   STATE       RECV-Q SEND-Q   INODE %-*s %-*s PROCESS\n", here, "LOCAL", there, "REMOTE")
	for _, s := range list {
		if s.broken {
			fmt.Fprintf(w, "%016x %-7s %s\n", s.Addr, s.Proto(), notAll)
			continue
		}
		local, remote := s.ends()
		line := fmt.Sprintf("%016x %-7s %-11s %6d %6d %7d %-*s %-*s %s", s.Addr, s.Proto(), s.StateName(),
			s.RxQueue, s.TxQueue, s.Inode, here, printable(local), there, remote, owners(s.owners, byTask))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// ends are the addresses as text: "10.0.2.15:22", "*:53", a name of AF_UNIX, and "-" for what
// has none.
func (s socket) ends() (local, remote string) {
	local, remote = "-", "-"
	switch {
	case s.Local.IsValid():
		local = end(s.Local)
		remote = end(s.Remote)
	case s.Path != "":
		local = s.Path
	}
	if s.Peer != 0 {
		remote = fmt.Sprintf("%016x", s.Peer)
	}
	return local, remote
}

func end(a netip.AddrPort) string {
	switch {
	case a.Addr().IsUnspecified() && a.Port() == 0:
		return "*:*"
	case a.Addr().IsUnspecified():
		return fmt.Sprintf("*:%d", a.Port())
	}
	return a.String()
}

// owners are "nginx(812) 6" for a task's descriptor 6.
func owners(list []socketOwner, one bool) string {
	var words []string
	for i, o := range list {
		if i == 4 && !one {
			words = append(words, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		words = append(words, fmt.Sprintf("%s(%d) fd %d", printable(o.Comm), o.PID, o.FD))
	}
	return strings.Join(words, ", ")
}

type netSocket struct {
	Sock   hexAddress    `json:"sock"`
	Proto  string        `json:"proto"`
	State  string        `json:"state"`
	Local  string        `json:"local,omitempty"`
	Remote string        `json:"remote,omitempty"`
	Path   string        `json:"path,omitempty"`
	Peer   hexAddress    `json:"peer,omitempty"`
	Recv   int64         `json:"recv_queue"`
	Send   int64         `json:"send_queue"`
	Inode  uint64        `json:"inode,omitempty"`
	UID    uint64        `json:"uid"`
	Owners []socketOwner `json:"owners"`
}

func socketEntries(list []socket) []netSocket {
	out := make([]netSocket, 0, len(list))
	for _, s := range list {
		if s.broken {
			continue // it is among what is missing
		}
		e := netSocket{
			Sock: hexAddress(s.Addr), Proto: s.Proto(), State: s.StateName(), Path: s.Path, Peer: hexAddress(s.Peer),
			Recv: s.RxQueue, Send: s.TxQueue, Inode: s.Inode, UID: s.UID, Owners: append([]socketOwner{}, s.owners...),
		}
		if s.Local.IsValid() {
			e.Local, e.Remote = s.Local.String(), s.Remote.String()
		}
		out = append(out, e)
	}
	return out
}
