package kernel

import "fmt"

// pseudoNames are how file systems name what is in no directory: the d_dname of their
// struct dentry_operations. All that are not here do as simple_dname (fs/d_path.c).
var pseudoNames = map[string]func(dentry Object) (string, error){
	"pipefs":       func(d Object) (string, error) { return numbered("pipe", d) },
	"sockfs":       func(d Object) (string, error) { return numbered("socket", d) },
	"anon_inodefs": anonName,
	"pidfs":        func(Object) (string, error) { return "anon_inode:[pidfd]", nil }, // 6.9 on
	"nsfs":         nsName,                                                            // 3.19 on
	"dmabuf":       dmabufName,
}

// pseudo is the name that a dentry makes up for itself, "" if it has a path.
func (p Path) pseudo() (string, error) {
	if at, err := p.Dentry.Pointer("d_op"); err != nil || at == 0 {
		return "", err
	}
	ops, err := p.Dentry.Follow("d_op")
	if err != nil {
		return "", err
	}
	makes, err := ops.Pointer("d_dname")
	if err != nil || makes == 0 {
		return "", err
	}
	parent, err := p.Dentry.Pointer("d_parent")
	if err != nil {
		return "", err
	}
	// A namespace that is mounted on a file has the path of that file.
	root, err := p.Mount.Pointer("mnt.mnt_root", "mnt_root")
	if err != nil || parent == p.Dentry.Addr && root == p.Dentry.Addr {
		return "", err
	}
	return pseudoName(p.Dentry)
}

func pseudoName(dentry Object) (string, error) {
	fs, err := dentry.Through("d_sb", "s_type")
	if err != nil {
		return "", err
	}
	name, err := fs.Text("name")
	if err != nil {
		return "", err
	}
	if makes, ok := pseudoNames[name]; ok {
		return makes(dentry)
	}
	if name, err = DentryName(dentry); err != nil {
		return "", err
	}
	return "/" + name + " (deleted)", nil
}

func anonName(dentry Object) (string, error) {
	name, err := DentryName(dentry)
	if err != nil {
		return "", err
	}
	return "anon_inode:" + name, nil
}

// numbered names a dentry by its inode, "pipe:[14]".
func numbered(what string, dentry Object) (string, error) {
	inode, err := dentry.Follow("d_inode")
	if err != nil {
		return "", err
	}
	ino, err := inode.Uint("i_ino")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s:[%d]", what, ino), nil
}

// nsName names a namespace by its kind: the inode's i_private is its struct ns_common.
func nsName(dentry Object) (string, error) {
	inode, err := dentry.Follow("d_inode")
	if err != nil {
		return "", err
	}
	at, err := inode.Pointer("i_private")
	if err != nil {
		return "", err
	}
	ns, err := dentry.k.Cast(at, "struct ns_common", "ops")
	if err != nil {
		return "", err
	}
	ops, err := ns.Follow("ops")
	if err != nil {
		return "", err
	}
	kind, err := ops.Text("name")
	if err != nil {
		return "", err
	}
	return numbered(kind, dentry)
}

// dmabufName has the name that user space gave to a buffer behind it, if it gave one.
func dmabufName(dentry Object) (string, error) {
	at, err := dentry.Pointer("d_fsdata")
	if err != nil {
		return "", err
	}
	buf, err := dentry.k.Cast(at, "struct dma_buf", "name")
	if err != nil {
		return "", err
	}
	own, err := DentryName(dentry)
	if err != nil {
		return "", err
	}
	given, err := buf.Text("name")
	if err != nil {
		return "", err
	}
	return "/" + own + ":" + given, nil
}
