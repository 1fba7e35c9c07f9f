package debuginfo

import (
	"fmt"
	"regexp"
	"strings"
)

// Packages names what has the debug information of a kernel release, for each distribution
// that the release can be of. banner is the kernel's, "" if it is not known; it tells
// Debian from Ubuntu where releases look alike.
func Packages(release, banner string) []string {
	if release == "" {
		return nil
	}
	for _, d := range distributions() {
		if d.is(release, banner) {
			return d.packages(release)
		}
	}
	all := []string{"linux-image-" + release + "-dbg (Debian)", "linux-image-" + release + "-dbgsym (Ubuntu)"}
	return append(all, "kernel-debuginfo-"+release+" (Fedora, RHEL)")
}

// distribution knows its kernels by their release and banner.
type distribution struct {
	is       func(release, banner string) bool
	packages func(release string) []string
}

func distributions() []distribution {
	return []distribution{
		{inBanner("Debian "), func(r string) []string { return []string{"linux-image-" + r + "-dbg (Debian)"} }},
		{inBanner("Ubuntu"), ubuntuPackages},
		{looksLike(`\.(el|fc|amzn|uek|azl|cm)\d|\.(el|fc)\d+uek`), rpmPackages},
		{inBanner("SUSE"), susePackages},
		{looksLike(`-(default|preempt|longterm|kernel-default)$`), susePackages},
		{looksLike(`-(generic|lowlatency|aws|azure|gcp|oracle|kvm|raspi|oem|realtime)$`), ubuntuPackages},
		{looksLike(`-(amd64|arm64|686|686-pae|armmp|s390x|powerpc64le|riscv64|rt-amd64|cloud-amd64)$`), func(r string) []string {
			return []string{"linux-image-" + r + "-dbg (Debian)"}
		}},
	}
}

func inBanner(word string) func(release, banner string) bool {
	return func(_, banner string) bool { return strings.Contains(banner, word) }
}

func looksLike(pattern string) func(release, banner string) bool {
	re := regexp.MustCompile(pattern)
	return func(release, _ string) bool { return re.MatchString(release) }
}

// ubuntuPackages: of a signed kernel the unsigned one has the debug information.
func ubuntuPackages(r string) []string {
	return []string{"linux-image-unsigned-" + r + "-dbgsym or linux-image-" + r + "-dbgsym (Ubuntu, from ddebs.ubuntu.com)"}
}

// rpmPackages: what stands behind a plus sign is the kernel's flavour.
func rpmPackages(r string) []string {
	base, flavour, _ := strings.Cut(r, "+")
	kernel := "kernel"
	switch {
	case strings.Contains(base, "uek"):
		kernel = "kernel-uek"
	case flavour != "":
		kernel = "kernel-" + flavour
	}
	return []string{fmt.Sprintf("%s-debuginfo-%s (dnf debuginfo-install %s-%s)", kernel, base, kernel, base)}
}

// susePackages: the release ends with the flavour, which the package's name begins with.
func susePackages(r string) []string {
	base, flavour := r, "default"
	if i := strings.LastIndexByte(r, '-'); i > 0 {
		base, flavour = r[:i], r[i+1:]
	}
	return []string{fmt.Sprintf("kernel-%s-debuginfo-%s (SUSE)", flavour, base)}
}

// install is Packages as a sentence's end.
func (w *Want) install() string {
	p := Packages(w.Release, w.Banner)
	if w.Module != "" && len(p) > 0 {
		return fmt.Sprintf("a module of the kernel's own is in %s", strings.Join(p, ", "))
	}
	if len(p) == 0 {
		return "the dump does not say which kernel it was; name its vmlinux with -k"
	}
	return "install " + strings.Join(p, ", ") + ", or name its vmlinux with -k"
}
