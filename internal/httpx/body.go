package httpx

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/g4fagent/g4fagent/internal/fault"
)

const (
	// minProgress is what has to arrive within each read window: without it a
	// byte a window would do.
	minProgress = 1 << 10
	// firstRead bounds what is allocated on a Content-Length alone.
	firstRead = 64 << 10
	// unreadGrace is how long a body that nobody reads may delay the answer.
	unreadGrace = 100 * time.Millisecond
	// maxIgnored is how much of a body is read and dropped where none is asked
	// for.
	maxIgnored = 64 << 10
)

var (
	errTooLarge = fault.New(fault.TooLarge, "payload_too_large", "The body is too large.")
	errBroken   = fault.New(fault.Invalid, "invalid_request", "The body did not arrive whole.")
	errSlow     = errBroken.Saying("The body did not arrive in time.")
)

// arriving is a body that is read from the client: no more than its limit, and
// no slower than its window.
type arriving struct {
	src     io.ReadCloser
	x       *exchange
	limit   int64
	window  time.Duration
	fresh   int    // bytes since the window began
	opened  bool   // a window has begun
	arrived func() // called after each read that brought something, or nil
	read    int64
}

// Read fails with a documented error: payload_too_large past the limit, else
// invalid_request.
func (a *arriving) Read(p []byte) (int, error) {
	if !a.opened || a.fresh >= minProgress {
		a.opened, a.fresh = true, 0
		_ = a.x.control.SetReadDeadline(time.Now().Add(a.window)) // a recorder in a test has none
	}
	if room := a.limit - a.read + 1; int64(len(p)) > room {
		p = p[:room] // one byte past the limit tells that it is passed
	}
	n, err := a.src.Read(p)
	a.fresh += n
	a.read += int64(n)
	if n > 0 && a.arrived != nil {
		a.arrived()
	}
	switch {
	case a.read > a.limit:
		return 0, errTooLarge.With("max_bytes", a.limit)
	case err == nil, errors.Is(err, io.EOF):
		return n, err
	case timedOut(err):
		return n, errSlow
	default:
		return n, errBroken
	}
}

func (a *arriving) Close() error { return a.src.Close() }

func timedOut(err error) bool {
	late, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && late.Timeout()
}

// all reads the whole body into memory, counting it against held.
func (a *arriving) all(length int64, held *holding) ([]byte, error) {
	if length > a.limit {
		return nil, errTooLarge.With("max_bytes", a.limit)
	}
	first := int64(bytes.MinRead)
	if length >= 0 {
		first = min(length, firstRead) + 1 // one more, so that the end is seen without growing
	}
	if err := held.add(first); err != nil {
		return nil, err
	}
	raw := make([]byte, 0, first)
	for {
		if len(raw) == cap(raw) {
			if err := held.add(int64(cap(raw))); err != nil {
				return nil, err
			}
			raw = slices.Grow(raw, cap(raw))
		}
		n, err := a.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		switch {
		case errors.Is(err, io.EOF):
			return raw, nil
		case err != nil:
			return nil, err
		}
	}
}

// drop reads a body that nobody asked for: until it is read, the server does not
// notice that the client left.
func (a *arriving) drop() error {
	_, err := io.Copy(io.Discard, a)
	return err
}

// holding is what one request holds of the bound on bodies.
type holding struct {
	of *gauge
	n  int64
}

func (h *holding) add(n int64) error {
	if err := h.of.take(n); err != nil {
		return err
	}
	h.n += n
	return nil
}

func (h *holding) release() { h.of.give(h.n) }

// whole is a body that was read and checked. The decoder takes its bytes as they
// are.
type whole struct {
	bytes.Reader
	raw []byte
}

func newWhole(raw []byte) *whole {
	w := &whole{raw: raw}
	w.Reset(raw)
	return w
}

// Close makes it an http.Request's Body.
func (*whole) Close() error { return nil }
