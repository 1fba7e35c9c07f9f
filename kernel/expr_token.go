package kernel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/symbols"
)

// tokens cuts an expression into names, numbers and signs. The CPUs of a per-CPU variable,
// ":0-2", are taken out: they hold for all of it.
func tokens(text string) (toks []string, cpus string, err error) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimLeft(text, " \t") {
		n := 1
		switch c := text[0]; {
		case letter(c):
			n = span(text, func(c byte) bool { return letter(c) || digit(c) })
		case digit(c):
			n = span(text, func(c byte) bool { return letter(c) || digit(c) })
		case strings.HasPrefix(text, "->"), strings.HasPrefix(text, "<<"), strings.HasPrefix(text, ">>"):
			n = 2
		case c == ':':
			if cpus != "" {
				return nil, "", errors.New("CPUs are named twice")
			}
			n = 1 + span(text[1:], func(c byte) bool { return digit(c) || c == '-' || c == ',' })
			for _, all := range []string{"all", "a"} {
				if word := text[1 : 1+span(text[1:], letter)]; n == 1 && word == all {
					n = 1 + len(all)
				}
			}
			if cpus = text[1:n]; cpus == "" {
				return nil, "", errors.New("which CPU? :0, :0-2,5 or :a")
			}
			text = text[n:]
			continue
		case !strings.ContainsRune("*&()[].+-/%|^~", rune(c)):
			return nil, "", fmt.Errorf("%q in it", c)
		}
		toks, text = append(toks, text[:n]), text[n:]
	}
	return toks, cpus, nil
}

func letter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func digit(c byte) bool { return c >= '0' && c <= '9' }

// span is how many bytes of a text there are of a kind.
func span(s string, is func(byte) bool) int {
	for i := range len(s) {
		if !is(s[i]) {
			return i
		}
	}
	return len(s)
}

func isName(tok string) bool { return letter(tok[0]) }

// cast takes "(type)" where something to cast stands behind it.
func (e *evaluator) cast() (t *symbols.Type, ok bool, err error) {
	t, used, err := e.typeName()
	if used == 0 || used == len(e.toks) {
		return nil, false, nil
	}
	switch next := e.toks[used]; {
	case next == "(", next == "~", digit(next[0]), isName(next):
	case strings.Contains("*&-", next) && err == nil: // not "(jiffies) - 1"
	default:
		return nil, false, nil
	}
	if err == nil {
		e.toks = e.toks[used:]
	}
	return t, err == nil, err
}

// typeName reads "(type)": used is how many tokens that is, 0 where there is none.
func (e *evaluator) typeName() (t *symbols.Type, used int, err error) {
	end := -1
	for i, tok := range e.toks {
		if i == 0 && tok != "(" {
			return nil, 0, nil
		}
		if i > 0 && tok == ")" {
			end = i
			break
		}
		if i > 0 && tok != "*" && !isName(tok) {
			return nil, 0, nil
		}
	}
	if end < 2 || e.toks[1] == "*" {
		return nil, 0, nil
	}
	stars := 0
	for e.toks[end-1-stars] == "*" {
		stars++
	}
	if t, err = e.k.FindType(e.ctx, strings.Join(e.toks[1:end-stars], " ")); err != nil {
		return nil, end + 1, err
	}
	for range stars {
		t = t.PointerTo(e.k.ptrSize())
	}
	return t, end + 1, nil
}
