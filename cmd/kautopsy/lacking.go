package main

import "github.com/kautopsy/kautopsy/kernel"

// lacking gathers what an answer of many parts lacks, and tells it once.
type lacking struct {
	env  *environment
	list []kernel.Missing
}

// add takes what kept a part from being read; nil is nothing.
func (l *lacking) add(what string, err error) {
	if err != nil {
		l.list = append(l.list, kernel.NewMissing(what, err, ""))
		l.env.met(err)
	}
}

// all takes what a part of the library could not read.
func (l *lacking) all(list []kernel.Missing) {
	for _, m := range list {
		l.list = append(l.list, m)
		l.env.met(m.Err)
	}
}

// tell warns on stderr of all at once, naming the first.
func (l *lacking) tell() {
	switch n := len(l.list); n {
	case 0:
	case 1:
		l.env.warn("%s", l.list[0].Why)
	default:
		l.env.warn("%d things could not be read; the first: %s", n, l.list[0].Why)
	}
}

// document is the list as it ends a JSON document.
func (l *lacking) document() []kernel.Missing { return append([]kernel.Missing{}, l.list...) }
