package storage

import (
	"fmt"
	"sync"
)

// failure is the first reason why the log cannot go on.
type failure struct {
	once sync.Once
	done chan struct{}
	err  error
}

func (f *failure) set(err error) {
	f.once.Do(func() {
		f.err = fmt.Errorf("%w: %w", ErrFailed, err)
		close(f.done)
	})
}

func (f *failure) get() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}
