package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
)

func infoCommand() command {
	return command{
		name: "info", group: "The dump", args: "DUMP",
		short:   "what the file is: format, pages, notes, VMCOREINFO",
		long:    "Counts come from the file's own tables; kautopsy verify reads every page.",
		example: "kautopsy info /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			df := addDumpFlags(fs)
			asJSON := fs.Bool("json", false, "JSON, with all of VMCOREINFO")
			all := fs.BoolP("all", "a", false, "print all of VMCOREINFO and every note")
			return func(env *environment, args []string) error {
				k, rest, done, err := df.openKernel(env, args)
				if err != nil {
					return err
				}
				defer done()
				if err := noMore(rest); err != nil {
					return err
				}
				doc := describe(env, k)
				if *asJSON {
					return printJSON(env.out, doc)
				}
				doc.print(env.out, k, *all)
				return nil
			}
		},
	}
}

// infoDocument is the answer of info, in JSON's shape.
type infoDocument struct {
	Schema        int               `json:"schema"`
	File          string            `json:"file"`
	Size          int64             `json:"size"`
	Format        string            `json:"format"`
	FormatVersion int               `json:"format_version"`
	Flattened     bool              `json:"flattened"`
	Parts         int               `json:"parts"`
	Arch          string            `json:"arch,omitempty"`
	ByteOrder     string            `json:"byte_order,omitempty"`
	PageSize      int               `json:"page_size"`
	MaxPFN        uint64            `json:"max_pfn"`
	Incomplete    bool              `json:"incomplete"`
	DumpLevel     *int              `json:"dump_level,omitempty"`
	Codec         string            `json:"codec,omitempty"`
	Pages         *infoPages        `json:"pages,omitempty"`
	VMCoreInfo    map[string]string `json:"vmcoreinfo,omitempty"`
	InfoOrigin    string            `json:"vmcoreinfo_origin,omitempty"`
	Kernel        infoKernel        `json:"kernel"`
	CrashTime     string            `json:"crash_time,omitempty"`
	CPUs          int               `json:"cpus"`
	Notes         []infoNote        `json:"notes"`
	Translation   map[string]string `json:"translation,omitempty"`
	Erased        string            `json:"erased,omitempty"`
	Missing       []kernel.Missing  `json:"missing"`
}

type infoPages struct {
	Present  uint64 `json:"present"`
	Excluded uint64 `json:"excluded"`
	Hole     uint64 `json:"hole"`
	Lost     uint64 `json:"lost"`
}

type infoKernel struct {
	Release  string `json:"release,omitempty"`
	Version  string `json:"version,omitempty"`
	Machine  string `json:"machine,omitempty"`
	Nodename string `json:"nodename,omitempty"`
	BuildID  string `json:"build_id,omitempty"`
}

type infoNote struct {
	Name string `json:"name"`
	Type uint32 `json:"type"`
	Size int    `json:"size"`
}

// describe gathers what info prints.
func describe(env *environment, k *kernel.Kernel) *infoDocument {
	d := k.Dump()
	h := d.Header
	doc := &infoDocument{
		Schema: schema, File: d.Name(), Size: d.Size(), Format: h.Format, FormatVersion: h.Version,
		Flattened: h.Flattened, Parts: max(1, h.Parts), Arch: k.Machine(), ByteOrder: orderName(h.Order),
		PageSize: d.PageSize(), MaxPFN: uint64(d.MaxPFN()), Incomplete: h.Incomplete, Codec: h.Codec,
		Notes: []infoNote{}, Erased: string(h.EraseInfo), Missing: []kernel.Missing{},
	}
	miss := func(what string, err error) {
		if err != nil {
			env.met(err)
			doc.Missing = append(doc.Missing, kernel.NewMissing(what, err, ""))
		}
	}
	for _, p := range h.Problems {
		miss("dump", p)
	}
	if h.DumpLevel >= 0 {
		doc.DumpLevel = &h.DumpLevel
	}
	c, err := d.Counts()
	miss("page counts", err)
	if err == nil {
		doc.Pages = &infoPages{c.Present, c.Excluded, c.Hole, c.Lost}
	}
	for n, err := range d.Notes() {
		miss("notes", err)
		if err == nil {
			doc.Notes = append(doc.Notes, infoNote{n.Name, n.Type, len(n.Desc)})
		}
	}
	doc.addKernel(k, miss)
	return doc
}

// addKernel adds what the kernel says of itself without symbols.
func (doc *infoDocument) addKernel(k *kernel.Kernel, miss func(string, error)) {
	cpus, err := k.Dump().CPUs()
	miss("registers", err)
	doc.CPUs = len(cpus)
	u, err := k.Utsname()
	miss("the kernel's name", err)
	doc.Kernel = infoKernel{Release: u.Release, Version: u.Version, Machine: u.Machine, Nodename: u.Nodename}
	info, err := k.Info()
	if err != nil {
		miss("VMCOREINFO", err)
		return
	}
	doc.Kernel.BuildID, doc.InfoOrigin = info.BuildID(), info.Origin
	if t, ok := info.CrashTime(); ok {
		doc.CrashTime = rfc3339(t)
	}
	doc.VMCoreInfo = make(map[string]string)
	for key, value := range info.All() {
		doc.VMCoreInfo[key] = value
	}
	space, err := k.Space()
	miss("address translation", err)
	if err == nil {
		doc.Translation = make(map[string]string)
		for _, f := range space.Describe() {
			doc.Translation[f.Name] = f.Value
		}
	}
}

func orderName(o binary.ByteOrder) string {
	switch o {
	case binary.LittleEndian:
		return "little"
	case binary.BigEndian:
		return "big"
	}
	return ""
}

// print writes the answer as text, a fact a line.
func (doc *infoDocument) print(w io.Writer, k *kernel.Kernel, all bool) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	row("file", "%s, %s", doc.File, bytesOf(uint64(doc.Size)))
	row("format", "%s", doc.formatLine())
	row("machine", "%s", doc.machineLine())
	if p := doc.Pages; p != nil {
		size := uint64(doc.PageSize)
		row("pages", "%d in the file (%s), %d excluded (%s), %d holes%s", p.Present, bytesOf(p.Present*size),
			p.Excluded, bytesOf(p.Excluded*size), p.Hole, lostText(p.Lost))
	}
	doc.printKernel(row)
	if doc.Erased != "" {
		row("erased", "%s", strings.TrimSpace(strings.ReplaceAll(doc.Erased, "\n", "; ")))
	}
	if space, err := k.Space(); err == nil {
		facts := make([]string, 0, 8)
		for _, f := range space.Describe() {
			facts = append(facts, f.Name+" "+f.Value)
		}
		for i, line := range wrap(strings.Join(facts, ", "), 66) {
			row(map[bool]string{true: "addresses"}[i == 0], "%s", line)
		}
	}
	row("notes", "%s", doc.noteLine())
	for _, m := range doc.Missing {
		row("missing", "%s: %s", m.What, m.Why)
	}
	if info, err := k.Info(); err == nil && all {
		fmt.Fprintf(w, "\nVMCOREINFO (%s)\n", info.Origin)
		for key, value := range info.All() {
			fmt.Fprintf(w, "  %s\n", printable(key+"="+value))
		}
	}
}

func (doc *infoDocument) printKernel(row func(name, format string, args ...any)) {
	k := doc.Kernel
	if k.Release != "" {
		row("kernel", "%s %s", k.Release, k.Machine)
	}
	if k.Version != "" {
		row("", "%s", k.Version)
	}
	if k.Nodename != "" {
		row("host", "%s", k.Nodename)
	}
	if k.BuildID != "" {
		row("build id", "%s", k.BuildID)
	}
	if doc.CrashTime != "" {
		row("crashed", "%s", doc.CrashTime)
	}
}

func (doc *infoDocument) formatLine() string {
	s := doc.Format
	if doc.Format == "kdump" {
		s = fmt.Sprintf("kdump-compressed, header version %d", doc.FormatVersion)
	}
	if doc.Codec != "" {
		s += ", codec " + doc.Codec
	}
	if doc.DumpLevel != nil {
		s += fmt.Sprintf(", dump level %d", *doc.DumpLevel)
	}
	if doc.Parts > 1 {
		s += fmt.Sprintf(", split in %d parts", doc.Parts)
	}
	if doc.Flattened {
		s += ", flattened"
	}
	if doc.Incomplete {
		s += ", INCOMPLETE"
	}
	return s
}

func (doc *infoDocument) machineLine() string {
	arch := doc.Arch
	if arch == "" {
		arch = "unknown processor"
	}
	if doc.ByteOrder != "" {
		arch += ", " + doc.ByteOrder + "-endian"
	}
	return fmt.Sprintf("%s, blocks of %s, physical addresses up to %s, registers of %d CPUs", arch,
		bytesOf(uint64(doc.PageSize)), bytesOf(doc.MaxPFN*uint64(doc.PageSize)), doc.CPUs)
}

// noteLine counts the notes by name and type.
func (doc *infoDocument) noteLine() string {
	if len(doc.Notes) == 0 {
		return "none"
	}
	var order []string
	count := make(map[string]int)
	for _, n := range doc.Notes {
		key := noteName(n)
		if count[key]++; count[key] == 1 {
			order = append(order, key)
		}
	}
	for i, key := range order {
		if count[key] > 1 {
			order[i] = fmt.Sprintf("%d× %s", count[key], key)
		}
	}
	return strings.Join(order, ", ")
}

func noteName(n infoNote) string {
	switch {
	case n.Name == "CORE" && n.Type == 1:
		return "PRSTATUS"
	case n.Name == "VMCOREINFO":
		return fmt.Sprintf("VMCOREINFO (%d bytes)", n.Size)
	}
	return fmt.Sprintf("%s/%#x", n.Name, n.Type)
}

func lostText(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d LOST", n)
}
