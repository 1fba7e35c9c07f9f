package main

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// mostNear is how many names are suggested for one that does not exist.
const mostNear = 4

// nearNames are the names that somebody could have meant: with a slip of the finger, or
// with more behind.
func nearNames(word string, names iter.Seq[string]) []string {
	type candidate struct {
		name string
		far  int
	}
	var list []candidate
	seen := map[string]bool{word: true}
	far := max(1, min(len(word)/3, 2))
	for name := range names {
		if seen[name] {
			continue
		}
		d := far + 1
		if n := len(name) - len(word); n <= far && n >= -far {
			d = distance(word, name)
		}
		if d > far && len(word) > 3 && strings.HasPrefix(name, word) && len(name) < 2*len(word) {
			d = far + len(name) - len(word)
		} else if d > far {
			continue
		}
		seen[name] = true
		list = append(list, candidate{name, d})
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return a.far - b.far })
	var out []string
	for _, c := range list[:min(len(list), mostNear)] {
		out = append(out, c.name)
	}
	return out
}

// meant adds to an error the names that could have been meant.
func meant(err error, near []string) error {
	if len(near) == 0 {
		return err
	}
	return fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, ", "))
}

// suggest adds names to an error that says that a type, symbol or member does not exist.
func suggest(env *environment, k *kernel.Kernel, err error, word string, t *symbols.Type) error {
	switch {
	case errors.Is(err, symbols.ErrNoMember) && t != nil:
		return meant(err, nearNames(word[strings.LastIndexByte(word, '.')+1:], memberNames(t)))
	case errors.Is(err, symbols.ErrNoType):
		return meant(err, nearNames(bareName(word), typeNames(k)))
	case errors.Is(err, symbols.ErrNoSymbol):
		table, _ := k.AllSymbols(env.ctx)
		if table == nil {
			return err
		}
		if near := nearNames(word, symbolNames(table)); len(near) > 0 {
			return meant(err, near)
		}
		_, err = k.Symbol(word) // which tells why it is not there
	}
	return err
}

// bareName is a type without its keyword.
func bareName(spelled string) string { return spelled[strings.LastIndexByte(spelled, ' ')+1:] }

func memberNames(t *symbols.Type) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, l := range membersOf(t.Underlying(), 0) {
			if !yield(l) {
				return
			}
		}
	}
}

// membersOf are the names that can stand behind a type's dot.
func membersOf(t *symbols.Type, depth int) (names []string) {
	for _, m := range t.Members {
		switch {
		case m.Name != "":
			names = append(names, m.Name)
		case depth < 8:
			names = append(names, membersOf(m.Type().Underlying(), depth+1)...)
		}
	}
	return names
}

func typeNames(k *kernel.Kernel) iter.Seq[string] {
	return func(yield func(string) bool) {
		ts, _ := k.Types()
		if ts == nil {
			return
		}
		for t, err := range ts.All() {
			switch t.Kind {
			case symbols.KindStruct, symbols.KindUnion, symbols.KindEnum, symbols.KindTypedef:
				if err == nil && t.Name != "" && !yield(t.Name) {
					return
				}
			}
		}
	}
}

func symbolNames(table *symbols.Table) iter.Seq[string] {
	return func(yield func(string) bool) {
		for s := range table.All() {
			if !yield(s.Name) {
				return
			}
		}
	}
}
