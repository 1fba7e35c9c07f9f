package main

import (
	"iter"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

type treeFlags struct {
	dump     *dumpFlags
	kind     string
	offset   string
	root     string
	node     bool
	keys     bool
	selected string
	radix    radixFlags
	json     bool
}

func treeCommand() command {
	return command{
		name: "tree", group: "Memory and types", args: "DUMP START",
		short: "walk a red-black tree, an xarray, a radix tree or a maple tree",
		long: `Prints the address of what is in the tree, in the tree's order. START is the
address of the root: an rb_root, an xarray or radix_tree_root, a maple_tree;
with -r, of a structure with the root at OFFSET, a number or STRUCT.MEMBER; with
-N, of a node. -o is where the rb_node is in what a red-black tree holds.`,
		example: "kautopsy tree /var/crash/vmcore -t maple -s irq_desc.irq_data.irq sparse_irqs",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &treeFlags{dump: addDumpFlags(fs)}
			fs.StringVarP(&f.kind, "type", "t", "rbtree", "`KIND`: rbtree, xarray, radix or maple")
			fs.StringVarP(&f.offset, "offset", "o", "", "the rb_node is at `OFFSET`")
			fs.StringVarP(&f.root, "root", "r", "", "the root is at `OFFSET` from START")
			fs.BoolVarP(&f.node, "node", "N", false, "START is a node")
			fs.BoolVarP(&f.keys, "position", "p", false, "print the index of each entry of an xarray, radix or maple tree")
			fs.StringVarP(&f.selected, "struct", "s", "", "print each as `STRUCT[.MEMBER,…]`")
			addRadixFlags(fs, &f.radix)
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

func (f *treeFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if len(rest) != 1 {
		return usagef("where is the root of the tree?")
	}
	at, err := startOf(env, k, rest[0])
	if err != nil {
		return err
	}
	if f.root != "" {
		off, err := memberOffset(env, k, f.root)
		if err != nil {
			return err
		}
		at += off
	}
	w, err := f.walk(env, k, at)
	if err != nil {
		return err
	}
	p, err := newElements(env, k, f.selected, f.radix, f.json)
	if err != nil {
		return err
	}
	p.keys = f.keys
	return p.all(w)
}

// walk yields what is in the tree.
func (f *treeFlags) walk(env *environment, k *kernel.Kernel, at uint64) (iter.Seq2[element, error], error) {
	switch f.kind {
	case "rbtree", "rb":
		return f.nodes(env, k, at)
	case "xarray", "x", "radix", "ra", "maple", "m":
		return f.entries(env, k, at)
	}
	return nil, usagef("-t %s: rbtree, xarray, radix or maple", f.kind)
}

// nodes walks a red-black tree.
func (f *treeFlags) nodes(env *environment, k *kernel.Kernel, at uint64) (iter.Seq2[element, error], error) {
	off := uint64(0)
	if f.offset != "" {
		var err error
		if off, err = memberOffset(env, k, f.offset); err != nil {
			return nil, err
		}
	}
	return func(yield func(element, error) bool) {
		for a, err := range k.RBNodes(env.ctx, at, f.node) {
			if !yield(element{addr: a - off}, err) {
				return
			}
		}
	}, nil
}

// entries walks a tree that has keys.
func (f *treeFlags) entries(env *environment, k *kernel.Kernel, at uint64) (iter.Seq2[element, error], error) {
	if f.offset != "" {
		return nil, usagef("-o goes with red-black trees")
	}
	void := &symbols.Type{Kind: symbols.KindVoid, Name: "void"}
	maple := f.kind[0] == 'm'
	var list iter.Seq2[kernel.Entry, error]
	switch {
	case f.node && maple:
		list = k.MapleNodes(env.ctx, at, void)
	case f.node:
		list = k.XANodes(env.ctx, at, void)
	default:
		names := []string{"struct xarray", "struct radix_tree_root"}
		if maple {
			names = []string{"struct maple_tree"}
		}
		t, err := firstType(env, k, names)
		if err != nil {
			return nil, err
		}
		root := k.Object(t, at)
		if list = k.XArray(env.ctx, root, void); maple {
			list = k.MapleTree(env.ctx, root, void)
		}
	}
	return func(yield func(element, error) bool) {
		for e, err := range list {
			if !yield(element{e.Addr, true, e.First, e.Last, e.Number}, err) {
				return
			}
		}
	}, nil
}

// firstType is the first type that a kernel has.
func firstType(env *environment, k *kernel.Kernel, names []string) (t *symbols.Type, err error) {
	for _, name := range names {
		if t, err = k.FindType(env.ctx, name); err == nil {
			break
		}
	}
	return t, err
}
