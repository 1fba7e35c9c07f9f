package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/internal/arch"
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
			asJSON := fs.Bool("json", false, "print JSON, with all of VMCOREINFO")
			all := fs.BoolP("all", "a", false, "print the registers of every CPU, every note, all of VMCOREINFO")
			return func(env *environment, args []string) error {
				df.quiet = !*asJSON
				k, done, err := df.openAlone(env, args)
				if err != nil {
					return err
				}
				defer done()
				doc := describe(env, k)
				if *asJSON {
					return printJSON(env.out, doc)
				}
				doc.print(env, k, *all)
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
	Stored        *storedPages      `json:"compression,omitempty"` // of dumps of fewPages
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

// fewPages is up to how many pages info counts their codecs, which takes 24 bytes a page;
// verify counts them all.
const fewPages = 1 << 20

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
		if c.Present <= fewPages {
			doc.Stored = stored(d)
		}
	}
	if cut := d.Complete(); len(h.Problems) == 0 && cut != nil {
		doc.Incomplete = true
		miss("the end of the dump", cut)
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
	u, uerr := k.Utsname()
	doc.Kernel = infoKernel{Release: u.Release, Version: u.Version, Machine: u.Machine, Nodename: u.Nodename}
	info, err := k.Info()
	if err != nil {
		miss("kernel", err) // and with it the name, unless a header has that
		return
	}
	miss("the kernel's name", uerr)
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

// labelWidth is the column in which info's answers begin.
const labelWidth = 13

// sheet prints labelled facts, the lines no wider than the terminal.
type sheet struct {
	w     io.Writer
	width int
}

func newSheet(env *environment) *sheet { return &sheet{env.out, env.columns()} }

func (s *sheet) row(name, format string, args ...any) {
	for _, line := range wrap(printable(fmt.Sprintf(format, args...)), s.width-labelWidth) {
		fmt.Fprintf(s.w, "%-*s%s\n", labelWidth, name, line)
		name = ""
	}
}

// print writes the answer as text, a fact a line.
func (doc *infoDocument) print(env *environment, k *kernel.Kernel, all bool) {
	s := newSheet(env)
	s.row("file", "%s, %s", doc.File, bytesOf(uint64(doc.Size)))
	s.row("format", "%s", doc.formatLine())
	s.row("machine", "%s", doc.machineLine())
	if doc.Pages != nil {
		s.row("pages", "%s", doc.pageLine())
	}
	doc.printKernel(s)
	s.row("erased", "%s", strings.ReplaceAll(strings.TrimSpace(doc.Erased), "\n", "; "))
	if space, err := k.Space(); err == nil {
		s.row("addresses", "%s", factLine(space.Describe()))
	}
	s.row("notes", "%s", doc.noteLine(all))
	for _, m := range doc.Missing {
		s.row("missing", "%s: %s", m.What, m.Why)
	}
	if all {
		printRegisters(s, k)
	}
	if info, err := k.Info(); err == nil && all {
		fmt.Fprintf(env.out, "\nVMCOREINFO (%s)\n", info.Origin)
		for key, value := range info.All() {
			fmt.Fprintf(env.out, "  %s\n", printable(key+"="+value))
		}
	}
}

// factLine is how addresses are translated; what is off or zero is left to JSON.
func factLine(facts []arch.Fact) string {
	var parts []string
	for _, f := range facts {
		switch f.Value {
		case "0x0", "false":
		case "true":
			parts = append(parts, f.Name)
		default:
			parts = append(parts, f.Name+" "+f.Value)
		}
	}
	return strings.Join(parts, ", ")
}

// pageLine counts the pages; what there is none of is not told.
func (doc *infoDocument) pageLine() string {
	p, size := doc.Pages, uint64(doc.PageSize)
	s := fmt.Sprintf("%d in the file (%s)", p.Present, bytesOf(p.Present*size))
	if p.Excluded > 0 {
		s += fmt.Sprintf(", %d excluded (%s)", p.Excluded, bytesOf(p.Excluded*size))
	}
	if p.Hole > 0 {
		s += ", " + count(int(p.Hole), "hole")
	}
	if p.Lost > 0 {
		s += fmt.Sprintf(", %d LOST (%s)", p.Lost, bytesOf(p.Lost*size))
	}
	return s
}

func (doc *infoDocument) printKernel(s *sheet) {
	k := doc.Kernel
	if k.Release != "" {
		s.row("kernel", "%s %s", k.Release, k.Machine)
	}
	s.row("", "%s", k.Version)
	s.row("host", "%s", k.Nodename)
	s.row("build id", "%s", k.BuildID)
	s.row("crashed", "%s", strings.NewReplacer("T", " ", "Z", " UTC").Replace(doc.CrashTime))
}

// formatName spells a format as its makers do.
func formatName(format string) string {
	if name, ok := formatNames[format]; ok {
		return name
	}
	return format
}

var formatNames = map[string]string{"elf": "ELF", "lime": "LiME", "avml": "AVML", "raw": "raw memory"}

func (doc *infoDocument) formatLine() string {
	s := formatName(doc.Format)
	if doc.Format == "kdump" {
		s = fmt.Sprintf("kdump-compressed, header version %d", doc.FormatVersion)
	}
	switch {
	case doc.Codec == "none" && doc.Format == "kdump":
		s += ", not packed"
	case doc.Codec != "none" && doc.Codec != "":
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
	return fmt.Sprintf("%s, blocks of %s, memory up to %s, registers of %s", arch,
		bytesOf(uint64(doc.PageSize)), bytesOf(doc.MaxPFN*uint64(doc.PageSize)), count(doc.CPUs, "CPU"))
}

// noteLine counts the notes by name and type; all tells them one by one, with their sizes.
func (doc *infoDocument) noteLine(all bool) string {
	if len(doc.Notes) == 0 {
		return "none"
	}
	var order []string
	seen := make(map[string]int)
	for _, n := range doc.Notes {
		key := noteName(n)
		if all {
			key = fmt.Sprintf("%s/%#x (%s)", n.Name, n.Type, count(n.Size, "byte"))
		}
		if seen[key]++; seen[key] == 1 {
			order = append(order, key)
		}
	}
	for i, key := range order {
		if seen[key] > 1 {
			order[i] = fmt.Sprintf("%d×%s", seen[key], key)
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
