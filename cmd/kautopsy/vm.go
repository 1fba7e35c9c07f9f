package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
)

type vmFlags struct {
	dump  *dumpFlags
	pages bool
	json  bool
}

func vmCommand() command {
	return command{
		name: "vm", group: "Tasks", args: "DUMP [PID|TASK|COMM…]",
		short: "address space of a process: what is mapped where",
		long: `Without an argument, that of the task that was running when the kernel died.
FLAGS are those of vm_area_struct; FILE is as /proc/PID/maps has it. -p goes
through the page tables: the physical address of each page that is in memory,
and FILE with an offset for one that is not and would be read from there. The
types are those in the dump itself, or in a vmlinux (--vmlinux).`,
		example: "kautopsy vm /var/crash/vmcore 1",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &vmFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.pages, "pages", "p", false, "where each page is")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

// addressSpace is the answer for one task.
type addressSpace struct {
	task kernel.Task
	mm   kernel.Object // no address: the task has none
	pgd  uint64
	vmas []mm.VMA
	// pages are those of each mapping, where they are asked for.
	pages [][]kernel.UserPages
}

func (f *vmFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	tasks, lack, err := pickOrCrashed(env, k, rest)
	if err != nil {
		return err
	}
	m := mm.New(k)
	var spaces []addressSpace
	var own []kernel.Missing // the tasks' were told already
	for _, t := range tasks {
		s, missing := readSpace(env, m, t)
		own = append(own, missing...)
		if f.pages && s.mm.Addr != 0 {
			s.pages, missing = mappedPages(env, k, s)
			own = append(own, missing...)
		}
		spaces = append(spaces, s)
	}
	if f.json {
		return printJSON(env.out, vmDocument(spaces, append(lack, told(env, own)...)))
	}
	for i, s := range spaces {
		if i > 0 {
			fmt.Fprintln(env.out)
		}
		printSpace(env.out, s, k.PageSize())
	}
	told(env, own)
	return nil
}

// readSpace reads the address space of a task.
func readSpace(env *environment, m *mm.Memory, t kernel.Task) (s addressSpace, lack []kernel.Missing) {
	s.task = t
	what := fmt.Sprintf("address space of task %d", t.PID)
	space, err := m.AddressSpace(t)
	if errors.Is(err, phys.ErrUnmapped) {
		return s, nil
	}
	if err == nil {
		s.mm = space
		s.pgd, err = space.Pointer("pgd")
	}
	if err != nil {
		return s, append(lack, kernel.NewMissing(what, err, ""))
	}
	for v, err := range m.VMAs(env.ctx, space) {
		if err != nil {
			lack = append(lack, kernel.NewMissing(what, err, "mappings"))
			continue
		}
		if v.Err != nil {
			lack = append(lack, kernel.NewMissing(what, v.Err, "the name of a mapping"))
		}
		s.vmas = append(s.vmas, v)
	}
	return s, lack
}

// printSpace prints crash's table.
func printSpace(w io.Writer, s addressSpace, pageSize int) {
	t := s.task
	fmt.Fprintln(w, taskHead(t))
	fmt.Fprintln(w, "       MM               PGD          RSS    TOTAL_VM")
	if s.mm.Addr == 0 {
		fmt.Fprintf(w, "%8s %17s %11s %9s\n", "0", "0", "0k", "0k")
		return
	}
	size := func(n uint64) string { return strconv.FormatUint(n/1024, 10) + "k" }
	fmt.Fprintf(w, "%016x  %016x  %5s  %7s\n", s.mm.Addr, s.pgd, size(t.RSS), size(t.VSZ))
	if s.pages == nil {
		fmt.Fprintln(w, vmaHead)
	}
	for i, v := range s.vmas {
		if s.pages != nil {
			fmt.Fprintln(w, vmaHead)
		}
		fmt.Fprintln(w, vmaRow(v))
		if s.pages != nil {
			printPages(w, v, s.pages[i], pageSize)
		}
	}
}

const vmaHead = "      VMA           START       END     FLAGS FILE"

func vmaRow(v mm.VMA) string {
	return strings.TrimRight(fmt.Sprintf("%016x %10x %10x %7x %s", v.Addr, v.Start, v.End, v.Flags, printable(v.Name)), " ")
}

type vmaJSON struct {
	VMA    hexAddress `json:"vma"`
	Start  hexAddress `json:"start"`
	End    hexAddress `json:"end"`
	Perms  string     `json:"perms"`
	Flags  hexAddress `json:"flags"`
	Offset uint64     `json:"offset"`
	File   string     `json:"file,omitempty"`

	Pages []pageRunJSON `json:"pages,omitempty"`
}

func newVMAJSON(v mm.VMA) vmaJSON {
	return vmaJSON{hexAddress(v.Addr), hexAddress(v.Start), hexAddress(v.End), v.Perms(), hexAddress(v.Flags), v.Offset, v.Name, nil}
}

type spaceJSON struct {
	Task hexAddress  `json:"task"`
	PID  int         `json:"pid"`
	Comm string      `json:"comm"`
	MM   *hexAddress `json:"mm"`
	PGD  *hexAddress `json:"pgd"`
	RSS  uint64      `json:"rss_bytes"`
	VSZ  uint64      `json:"vsz_bytes"`
	VMAs []vmaJSON   `json:"vmas"`
}

func vmDocument(spaces []addressSpace, lack []kernel.Missing) any {
	list := make([]spaceJSON, 0, len(spaces))
	for _, s := range spaces {
		j := spaceJSON{hexAddress(s.task.Addr), s.task.PID, s.task.Comm, nil, nil, s.task.RSS, s.task.VSZ, []vmaJSON{}}
		if s.mm.Addr != 0 {
			at, pgd := hexAddress(s.mm.Addr), hexAddress(s.pgd)
			j.MM, j.PGD = &at, &pgd
		}
		for i, v := range s.vmas {
			a := newVMAJSON(v)
			if s.pages != nil {
				a.Pages = newPageRuns(s.pages[i])
			}
			j.VMAs = append(j.VMAs, a)
		}
		list = append(list, j)
	}
	return struct {
		Schema  int              `json:"schema"`
		Spaces  []spaceJSON      `json:"address_spaces"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, append([]kernel.Missing{}, lack...)}
}
