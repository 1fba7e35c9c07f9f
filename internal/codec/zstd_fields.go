package codec

// field is one of the three numbers of a sequence, of which a table tells: what tables are made of.
type field struct {
	log uint // the table has 1<<log entries

	symbols      fseSymbols
	size, maxLog uint // how many symbols there are, and the largest table
	usual        [64]fseEntry
	usualLog     uint
}

// init makes what all blocks share. Behind the code of a number are extra bits; its values
// begin where those of the code before end (RFC 8878, 3.1.1.3.2.1.1). The usual tables are
// made of the counts in 3.1.1.3.2.2.
func (q *sequences) init() {
	for i := range 64 {
		q.masks[i] = 1<<i - 1
	}
	literals := append(make([]uint8, 16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	q.define(literalsField, 0, literals, 9, 6, []int16{
		4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2,
		2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
	})
	lengths := append(make([]uint8, 32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	q.define(lengthField, 3, lengths, 9, 6, []int16{
		1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
	})
	codes := make([]uint8, 32)
	for i := range codes {
		codes[i] = uint8(i)
	}
	q.define(offsetField, 1-3, codes, 8, 5, []int16{
		1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
	})
}

// define makes a field, of which the first value and each code's extra bits are given.
func (q *sequences) define(i int, value int32, extra []uint8, maxLog, usualLog uint, usual []int16) {
	f := &q.fields[i]
	f.size, f.maxLog, f.usualLog = uint(len(extra)), maxLog, usualLog
	for symbol, bits := range extra {
		f.symbols[symbol] = newEntry(value, bits)
		value += 1 << bits
	}
	q.numbers.log, q.numbers.n = usualLog, uint(copy(q.numbers.counts[:], usual))
	q.numbers.build(&q.tables[i], &f.symbols)
	copy(f.usual[:], q.tables[i][:])
}
