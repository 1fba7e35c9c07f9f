package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
)

// runInfo tells how memory is used.
func (f *kmemFlags) runInfo(env *environment, m *mm.Memory) error {
	info := m.MemInfo(env.ctx)
	if _, ok := info.Get("MemTotal"); !ok && len(info.Missing) > 0 {
		return info.Missing[0].Err
	}
	lack := told(env, info.Missing)
	if f.json {
		return printJSON(env.out, struct {
			Schema  int              `json:"schema"`
			MemInfo meminfoJSON      `json:"meminfo"`
			Missing []kernel.Missing `json:"missing"`
		}{schema, meminfoJSON(info.Lines), lack})
	}
	printUsage(env.out, info)
	return nil
}

// meminfoJSON is an object with a member for each line, in the order of the lines.
type meminfoJSON []mm.MemLine

// MarshalJSON writes the object.
func (l meminfoJSON) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, line := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%d", line.Name, line.Value)
	}
	return append(b, '}'), nil
}

// usage is a line of crash's table.
type usage struct {
	title string
	names []string // the lines of /proc/meminfo that it needs
	value func(v []uint64) uint64
	part  string // what the last of the lines is, which the usage is a part of; "" for a total
}

// line is a usage that /proc/meminfo has by that name.
func line(title, name string) usage {
	return usage{title, []string{name, "MemTotal"}, first, "TOTAL MEM"}
}

func first(v []uint64) uint64 { return v[0] }

// rest is what is not free of a total.
func rest(v []uint64) uint64 { return v[1] - min(v[0], v[1]) }

func product(v []uint64) uint64 { return v[0] * v[1] }

// usages are the lines of crash's kmem -i, and some that it does not have.
var usages = []usage{
	{"TOTAL MEM", []string{"MemTotal"}, first, ""},
	line("FREE", "MemFree"),
	{"USED", []string{"MemFree", "MemTotal"}, rest, "TOTAL MEM"},
	line("AVAILABLE", "MemAvailable"),
	line("BUFFERS", "Buffers"),
	line("CACHED", "Cached"),
	line("SHMEM", "Shmem"),
	line("ANON", "AnonPages"),
	line("SLAB", "Slab"),
	line("RECLAIMABLE", "SReclaimable"),
	line("STACKS", "KernelStack"),
	line("PAGE TABLES", "PageTables"),
	line("VMALLOC", "VmallocUsed"),
	line("PER-CPU", "Percpu"),
	{},
	{"TOTAL HUGE", []string{"HugePages_Total", "Hugepagesize"}, product, ""},
	{"HUGE FREE", []string{"HugePages_Free", "Hugepagesize", "Hugetlb"}, product, "TOTAL HUGE"},
	{},
	{"TOTAL SWAP", []string{"SwapTotal"}, first, ""},
	{"SWAP USED", []string{"SwapFree", "SwapTotal"}, rest, "TOTAL SWAP"},
	{"SWAP FREE", []string{"SwapFree", "SwapTotal"}, first, "TOTAL SWAP"},
	{},
	{"COMMIT LIMIT", []string{"CommitLimit"}, first, ""},
	{"COMMITTED", []string{"Committed_AS", "CommitLimit"}, first, "TOTAL LIMIT"},
}

// printUsage prints crash's table. A line is left out of which a part is not known.
func printUsage(w io.Writer, info mm.MemInfo) {
	fmt.Fprintln(w, "                 PAGES        TOTAL      PERCENTAGE")
	gap := false
	for _, u := range usages {
		v, ok := lines(info, u.names)
		if gap = gap || u.title == ""; u.title == "" || !ok {
			continue
		}
		if gap {
			fmt.Fprintln(w)
			gap = false
		}
		n, share := u.value(v), "        ----"
		if u.part != "" {
			share = fmt.Sprintf("%3d%% of %s", 100*n/max(1, v[len(v)-1]), u.part)
		}
		fmt.Fprintf(w, "%13s %8d %12s  %s\n", u.title, n/info.PageSize, megabytes(n), share)
	}
}

// lines are the values of lines; ok is false when one is not known.
func lines(info mm.MemInfo, names []string) (v []uint64, ok bool) {
	for _, name := range names {
		n, known := info.Get(name)
		if !known {
			return nil, false
		}
		v = append(v, n)
	}
	return v, len(names) > 0
}

// megabytes prints a size as crash does: "265.2 MB", "72 KB", "0".
func megabytes(n uint64) string {
	switch {
	case n == 0:
		return "0"
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/(1<<20)), ".0") + " MB"
	}
	return fmt.Sprintf("%d KB", n/1024)
}
