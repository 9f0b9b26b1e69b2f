package live

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	// writeBound is how long one write may take before the client counts as gone,
	// and lastWords how long once the server stops.
	writeBound = 30 * time.Second
	lastWords  = 2 * time.Second
	// flushBytes is how much is written under one bound.
	flushBytes = 64 << 10
)

// errGone says that the client does not read any more.
var errGone = errors.New("the client has left")

// writer writes to a client that may be slow, gone, or both. The server's own
// deadline would end a stream, so that each write has one.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	pending int // bytes since the last flush

	mu    sync.Mutex
	hurry bool
}

// hurryWhen makes writes short once ctx ends, also one that is under way. Stop
// ends that, and waits for it.
func (w *writer) hurryWhen(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hurry = true
		_ = w.deadline() // the write that is next fails then
	})
	return func() {
		if !cancel() {
			<-done
		}
	}
}

func (w *writer) extend() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deadline()
}

func (w *writer) deadline() error {
	bound := writeBound
	if w.hurry {
		bound = lastWords
	}
	err := w.control.SetWriteDeadline(time.Now().Add(bound))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// write adds b to what the next flush sends for certain.
func (w *writer) write(b []byte) error {
	if w.pending == 0 {
		if err := w.extend(); err != nil {
			return errors.Join(errGone, err)
		}
	}
	if _, err := w.w.Write(b); err != nil {
		return errors.Join(errGone, err)
	}
	if w.pending += len(b); w.pending >= flushBytes {
		return w.flush()
	}
	return nil
}

func (w *writer) flush() error {
	if w.pending == 0 {
		return nil
	}
	w.pending = 0
	if err := w.control.Flush(); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

// say writes b at once.
func (w *writer) say(b []byte) error {
	if err := w.write(b); err != nil {
		return err
	}
	return w.flush()
}
