package artifact

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// appendString appends a uvarint length and the bytes of s.
func appendString(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

// A parser reads length-prefixed fields. The first error sticks, later reads
// return zero values, and no read allocates more than the input is long.
type parser struct {
	data []byte
	err  error
}

var errTruncated = errors.New("the data ends in the middle of a field")

func (p *parser) more() bool { return p.err == nil && len(p.data) > 0 }

func (p *parser) take(n uint64) []byte {
	if p.err == nil && n > uint64(len(p.data)) {
		p.err = errTruncated
	}
	if p.err != nil {
		return nil
	}
	field := p.data[:n]
	p.data = p.data[n:]
	return field
}

func (p *parser) magic(want string) {
	if got := p.take(uint64(len(want))); p.err == nil && string(got) != want {
		p.err = fmt.Errorf("starts with %q, want %q", got, want)
	}
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.data)
	if n <= 0 && p.err == nil {
		p.err = errTruncated
	}
	if p.err != nil {
		return 0
	}
	p.data = p.data[n:]
	return v
}

func (p *parser) string() string { return string(p.take(p.uvarint())) }

func (p *parser) digest() (d Digest) {
	copy(d[:], p.take(uint64(len(d))))
	return d
}

// field reads what appendField wrote.
func (p *parser) field() []byte {
	n := p.take(4)
	if p.err != nil {
		return nil
	}
	return p.take(uint64(binary.BigEndian.Uint32(n)))
}

// appendField appends a 32-bit big-endian length and the bytes of s.
func appendField(out []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(out, uint32(len(s))), s...)
}
