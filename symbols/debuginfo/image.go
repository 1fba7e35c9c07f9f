package debuginfo

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// Image is what an ELF file of a kernel or a module says of itself.
type Image struct {
	BuildID    string // in hexadecimal; "" when it has none
	Debug      bool   // it has DWARF
	Module     bool   // it is relocatable, as modules are
	SrcVersion string // of a module: a hash of its sources
	Vermagic   string // of a module: the release that it was built for, and more
	Banner     string // of a kernel: "Linux version …", when it was asked for
	Link       string // the file that .gnu_debuglink names
}

// Bounds of what is read of a file to know it.
const (
	maxNotes   = 1 << 20
	maxModinfo = 1 << 20
	maxLink    = 4 << 10
)

// ReadImage reads what a file says of itself, without its DWARF. What is no ELF file is an
// error that wraps phys.ErrCorrupt.
func ReadImage(r io.ReaderAt) (Image, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return Image{}, fmt.Errorf("%w: %w", err, phys.ErrCorrupt)
	}
	im := Image{Module: f.Type == elf.ET_REL}
	for _, s := range f.Sections {
		switch {
		case s.Type == elf.SHT_NOTE:
			if im.BuildID == "" {
				im.BuildID = hex.EncodeToString(elfnote.BuildID(head(s, maxNotes), f.ByteOrder))
			}
		case s.Type == elf.SHT_NOBITS:
		case s.Name == ".debug_info", s.Name == ".zdebug_info":
			im.Debug = im.Debug || s.FileSize > 0
		case s.Name == ".gnu_debuglink":
			im.Link = bin.CString(head(s, maxLink))
		case s.Name == ".modinfo":
			im.modinfo(head(s, maxModinfo))
		}
	}
	return im, nil
}

// head is the beginning of a section, as much of it as the file has.
func head(s *elf.Section, most uint64) []byte {
	if s.Flags&elf.SHF_COMPRESSED != 0 {
		return nil
	}
	b := make([]byte, min(s.FileSize, most))
	n, _ := s.ReaderAt.ReadAt(b, 0) // what is there
	return b[:n]
}

// modinfo reads the "key=value" strings of a module.
func (im *Image) modinfo(b []byte) {
	for s := range bytes.SplitSeq(b, []byte{0}) {
		switch key, value, _ := strings.Cut(string(s), "="); key {
		case "srcversion":
			im.SrcVersion = value
		case "vermagic":
			im.Vermagic = value
		}
	}
}

// bannerMark begins linux_banner (init/version.c).
const bannerMark = "Linux version "

// maxBanner bounds a banner, which is a line.
const maxBanner = 1024

// findBanner looks for a kernel's linux_banner in its .rodata. Files that hold debug
// information alone do not have it.
func findBanner(r io.ReaderAt) string {
	f, err := elf.NewFile(r)
	if err != nil {
		return ""
	}
	s := f.Section(".rodata")
	if s == nil || s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_COMPRESSED != 0 {
		return ""
	}
	b := make([]byte, 1<<20)
	for off := int64(0); ; off += int64(len(b) - maxBanner) {
		n, err := s.ReaderAt.ReadAt(b, off)
		for at := b[:n]; ; {
			i := bytes.Index(at, []byte(bannerMark))
			if i < 0 {
				break
			}
			at = at[i:]
			line := bin.CString(at[:min(len(at), maxBanner)])
			if strings.Contains(line, " (") && !strings.Contains(line, "%s") { // a format
				return strings.TrimSpace(line)
			}
			at = at[len(bannerMark):]
		}
		if err != nil {
			return ""
		}
	}
}
