package provider

import (
	"bytes"
	"errors"
	"io"
)

// Limits on what a provider may send. A stream's total is far above any answer:
// each token comes in an envelope of some hundred bytes.
const (
	errorBodyLimit = 64 << 10
	listLimit      = 16 << 20
	streamLimit    = 512 << 20
	eventLimit     = 1 << 20
	// answerLimit bounds the text of one answer, about a million tokens.
	answerLimit = 4 << 20
)

// endMarker is the line that ends a stream in OpenAI's dialect.
var endMarker = []byte("data:[DONE]")

// body is a response's body within limits of size and of silence.
type body struct {
	call  *call
	inner io.ReadCloser
	left  int64

	event int    // bytes since the last blank line
	line  int    // bytes of the current line
	start []byte // the current line's beginning without spaces, as long as endMarker
}

func newBody(c *call, inner io.ReadCloser) *body {
	b := &body{call: c, inner: inner, left: listLimit}
	if c.stream {
		b.left = streamLimit
	}
	return b
}

// Read waits for the provider at most as long as the call's idle timeout.
func (b *body) Read(p []byte) (int, error) {
	b.call.silence.Reset(b.call.wire.idle)
	n, err := b.inner.Read(p)
	b.call.silence.Stop()
	if b.left -= int64(n); b.left < 0 {
		return 0, tooMuch()
	}
	if b.call.stream && !b.follow(p[:n]) {
		return 0, tooMuch()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = readError{err}
	}
	return n, err
}

func (b *body) Close() error { return b.inner.Close() }

func tooMuch() *Error {
	return &Error{Kind: KindProtocol, Message: "the provider sends more than an answer can be"}
}

// follow keeps count of lines and events in p and reports whether they are within
// the limits; without it the SDKs would buffer a line of 32 MiB and an event
// without bound.
func (b *body) follow(p []byte) bool {
	for len(p) > 0 {
		part := p
		end := bytes.IndexByte(p, '\n')
		if end >= 0 {
			part = p[:end]
		}
		b.take(part)
		if b.event > eventLimit {
			return false
		}
		if end < 0 {
			return true
		}
		b.endLine()
		p = p[end+1:]
	}
	return true
}

func (b *body) take(part []byte) {
	b.event += len(part)
	part = bytes.TrimRight(part, "\r")
	b.line += len(part)
	for _, ch := range part {
		if len(b.start) == len(endMarker) {
			return
		}
		if ch != ' ' {
			b.start = append(b.start, ch)
		}
	}
}

func (b *body) endLine() {
	if b.line == 0 {
		b.event = 0
	}
	if bytes.Equal(b.start, endMarker) {
		b.call.done = true
	}
	b.line, b.start = 0, b.start[:0]
}
