package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// Socket is one socket. Object is its struct sock; of a connection that waits for its end
// or for its begin (TIME_WAIT, NEW_SYN_RECV) it is the struct sock_common of what stands
// for it.
type Socket struct {
	kernel.Object

	Family   int // AF_…
	Type     int // SOCK_…; 0 of what only stands for a socket
	Protocol int // IPPROTO_…; of other families what they call so
	State    int // TCP_… for all families
	Net      uint64
	Local    netip.AddrPort // of IPv4 and IPv6; so is
	Remote   netip.AddrPort
	Path     string // of AF_UNIX: "@name" is an abstract one
	Peer     uint64 // of AF_UNIX: address of the other struct sock
	Inode    uint64 // number of the socket's inode, 0: no process has it
	UID      uint64
	RxQueue  int64 // bytes that wait to be read; of a listening socket connections
	TxQueue  int64 // bytes that were not acknowledged or sent
}

// The address families that are read further.
const (
	afUnix  = 1
	afInet  = 2
	afInet6 = 10
)

// States of TCP that say what kind of structure a socket is, and others that are asked for.
const (
	established = 1
	timeWait    = 6
	listening   = 10
	newSynRecv  = 12
)

var states = [...]string{
	"", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK",
	"LISTEN", "CLOSING", "NEW_SYN_RECV",
}

// StateName is the state as netstat has it for TCP. What is neither connected nor listening
// is "UNCONN" in other protocols.
func (s Socket) StateName() string {
	tcp := s.Proto() == "tcp" || s.Proto() == "tcp6"
	switch {
	case !tcp && s.State == 7:
		return "UNCONN"
	case s.State > 0 && s.State < len(states):
		return states[s.State]
	}
	return fmt.Sprintf("state %d", s.State)
}

var families = map[int]string{
	1: "unix", 3: "ax25", 4: "ipx", 5: "appletalk", 8: "x25", 15: "key", 16: "netlink", 17: "packet", 21: "rds", 29: "can",
	30: "tipc", 31: "bluetooth", 38: "alg", 40: "vsock", 41: "kcm", 43: "smc", 44: "xdp", 45: "mctp",
}

var protocols = map[int]string{1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmp", 132: "sctp", 136: "udplite", 262: "mptcp"}

// Proto is "tcp", "udp6", "raw", "unix", "netlink", …: the name of the file in /proc/net
// where there is one.
func (s Socket) Proto() string {
	const raw = 3
	if s.Family != afInet && s.Family != afInet6 {
		if name, ok := families[s.Family]; ok {
			return name
		}
		return fmt.Sprintf("family %d", s.Family)
	}
	name, ok := protocols[s.Protocol]
	if s.Type == raw || !ok {
		name = "raw"
	}
	if s.Family == afInet6 {
		name += "6"
	}
	return name
}

// common is the struct sock_common that all that stands for a socket begins with (2.6.18 on
// as __sk_common).
func common(k *kernel.Kernel, at uint64) (kernel.Object, error) {
	return k.Cast(at, "struct sock_common", "skc_family")
}

// read reads what stands at the address of a struct sock or of its like.
func read(k *kernel.Kernel, at uint64) (s Socket, err error) {
	c, err := common(k, at)
	if err != nil {
		return s, err
	}
	s.Object = c
	f := c.Fields()
	s.Family, s.State = int(f.Uint("skc_family")), int(f.Uint("skc_state"))
	s.Net = f.Pointer("skc_net.net", "skc_net")
	errs := []error{f.Err()}
	if s.Family == afInet || s.Family == afInet6 {
		errs = append(errs, s.addresses(k, c))
	}
	if (s.State == timeWait || s.State == newSynRecv) && s.Family != afUnix {
		s.Protocol, s.Type = 6, 1
	} else {
		errs = append(errs, s.full(k))
	}
	if err := errors.Join(errs...); err != nil {
		return s, fmt.Errorf("socket %#x: %w", at, err)
	}
	return s, nil
}

// addresses reads the two ends of a socket (struct sock_common has them since 3.9 for IPv4
// and 3.13 for IPv6).
func (s *Socket) addresses(k *kernel.Kernel, c kernel.Object) error {
	local, remote := []string{"skc_rcv_saddr"}, []string{"skc_daddr"}
	if s.Family == afInet6 {
		local, remote = []string{"skc_v6_rcv_saddr"}, []string{"skc_v6_daddr"}
	}
	from, err1 := address(c, local...)
	to, err2 := address(c, remote...)
	port, err3 := c.Uint("skc_num")
	far, err4 := c.Bytes("skc_dport")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	s.Local, s.Remote = netip.AddrPortFrom(from, uint16(port)), netip.AddrPortFrom(to, binary.BigEndian.Uint16(far))
	return nil
}

// full reads what only a struct sock has.
func (s *Socket) full(k *kernel.Kernel) error {
	o, err := k.Cast(s.Addr, "struct sock", "__sk_common")
	if err != nil {
		return err
	}
	s.Object = o
	f := o.Fields()
	s.Type, s.Protocol = int(f.Uint("sk_type")), int(f.Uint("sk_protocol"))
	if o.Has("sk_uid") { // 4.10 on
		s.UID = f.Uint("sk_uid.val", "sk_uid")
	}
	s.RxQueue = f.Int("sk_backlog.rmem_alloc.counter", "sk_rmem_alloc.counter")
	s.TxQueue = f.Int("sk_wmem_alloc.refs.counter", "sk_wmem_alloc.counter") - 1 // the socket itself (2b85a34e911bf)
	errs := []error{f.Err()}
	s.Inode, err = inode(o)
	errs = append(errs, err)
	switch {
	case s.Family == afUnix:
		errs = append(errs, s.unix(k))
	case s.Protocol == 6 && s.Type == 1:
		errs = append(errs, s.tcp(k))
	}
	return errors.Join(errs...)
}

// inode is the number of the inode of a socket's struct socket, 0 without one.
func inode(sock kernel.Object) (uint64, error) {
	if at, err := sock.Pointer("sk_socket"); err != nil || at == 0 {
		return 0, err
	}
	socket, err := sock.Follow("sk_socket")
	if err != nil {
		return 0, err
	}
	alloc, err := socket.Around("struct socket_alloc", "socket")
	if err != nil {
		return 0, err
	}
	return alloc.Uint("vfs_inode.i_ino")
}

// tcp reads the queues: sequence numbers of what is not read and not acknowledged.
func (s *Socket) tcp(k *kernel.Kernel) error {
	if s.State == listening {
		n, err := s.Uint("sk_ack_backlog")
		s.RxQueue, s.TxQueue = int64(n), 0
		return err
	}
	o, err := k.Cast(s.Addr, "struct tcp_sock")
	if err != nil {
		return err
	}
	f := o.Fields()
	s.RxQueue = max(0, int64(int32(f.Uint("rcv_nxt")-f.Uint("copied_seq"))))
	s.TxQueue = int64(int32(f.Uint("write_seq") - f.Uint("snd_una")))
	return f.Err()
}

// maxUnixName is the longest name, UNIX_PATH_MAX.
const maxUnixName = 108

// unix reads the name and the other end. As in /proc/net/unix a NUL in a name is an @.
func (s *Socket) unix(k *kernel.Kernel) error {
	o, err := k.Cast(s.Addr, "struct unix_sock", "addr", "peer")
	if errors.Is(err, symbols.ErrNoType) {
		return nil // CONFIG_UNIX=m: its types are the module's
	}
	if err != nil {
		return err
	}
	f := o.Fields()
	s.Peer = f.Pointer("peer")
	named := f.Pointer("addr")
	if err := f.Err(); err != nil || named == 0 {
		return err
	}
	a, err := o.Follow("addr")
	if err != nil {
		return err
	}
	n, err := a.Uint("len")
	if err != nil {
		return err
	}
	name, err := a.Member("name")
	if err != nil {
		return err
	}
	const family = 2 // bytes of sun_family before the name
	b := make([]byte, min(max(n, family)-family, maxUnixName))
	if _, err := k.ReadVirt(b, name.Addr+family); err != nil {
		return err
	}
	if len(b) > 0 && b[0] != 0 { // a path ends with a NUL, which counts
		b = []byte(strings.TrimRight(string(b), "\x00"))
	}
	s.Path = strings.ReplaceAll(string(b), "\x00", "@")
	return nil
}

// OfInode is the socket behind the struct inode of an open file of type SOCK.
func OfInode(k *kernel.Kernel, inode uint64) (Socket, error) {
	o, err := k.Cast(inode, "struct inode")
	if err != nil {
		return Socket{}, err
	}
	alloc, err := o.Around("struct socket_alloc", "vfs_inode")
	if err != nil {
		return Socket{}, err
	}
	sk, err := alloc.Pointer("socket.sk")
	if err != nil || sk == 0 {
		return Socket{}, err
	}
	return read(k, sk)
}
