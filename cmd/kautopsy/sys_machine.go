package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// runDMI prints how the firmware names the machine, as crash's sys -i does.
func runDMI(env *environment, k *kernel.Kernel, asJSON bool) error {
	texts, err := k.DMI()
	if errors.Is(err, symbols.ErrNoSymbol) {
		return fmt.Errorf("the kernel has no DMI, or does not name it: %w", err)
	}
	if len(texts) == 0 && err != nil {
		return err
	}
	lack := missing("DMI", err)
	env.met(err)
	if asJSON {
		dmi := make(map[string]string, len(texts))
		for _, p := range texts {
			dmi[p.Key] = p.Value
		}
		return printJSON(env.out, struct {
			Schema  int               `json:"schema"`
			DMI     map[string]string `json:"dmi"`
			Missing []kernel.Missing  `json:"missing"`
		}{schema, dmi, lack})
	}
	width := 0
	for _, p := range texts {
		width = max(width, len(p.Key))
	}
	for _, p := range texts {
		fmt.Fprintln(env.out, strings.TrimRight(fmt.Sprintf("%*s: %s", width, p.Key, printable(p.Value)), " "))
	}
	warnMissing(env, lack)
	return nil
}

// runTaint prints the mask of what taints the kernel, and its letters.
func runTaint(env *environment, k *kernel.Kernel, asJSON bool) error {
	s := k.System(env.ctx)
	if s.Taint == nil {
		for _, m := range s.Missing {
			if m.What == "taint flags" || m.What == "symbols" {
				return fmt.Errorf("taint flags: %w", m.Err)
			}
		}
		return errors.New("the kernel does not name its taint flags (tainted_mask); kautopsy log has them behind \"Tainted:\"")
	}
	letters := kernel.TaintLetters(*s.Taint)
	if asJSON {
		return printJSON(env.out, struct {
			Schema  int              `json:"schema"`
			Mask    uint64           `json:"mask"`
			Letters string           `json:"letters"`
			Missing []kernel.Missing `json:"missing"`
		}{schema, *s.Taint, letters, []kernel.Missing{}})
	}
	if letters == "" {
		letters = "(not tainted)"
	}
	fmt.Fprintf(env.out, "TAINTED_MASK: %x  %s\n", *s.Taint, letters)
	return nil
}
