// Package feed is the process's one live view of the log: whoever must know at
// once what was appended (open streams, caches of permissions) watches it.
package feed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Feed hands each new record to its watchers, in log order, and tells how far it
// has come. It is safe for concurrent use once it runs.
type Feed struct {
	log      *eventlog.Log
	now      func() time.Time
	watchers []func(eventlog.Record)

	mu       sync.Mutex
	position eventlog.Position
	moved    chan struct{} // closed, and replaced, when position changes
	live     bool
	since    time.Time // of the last change of live, zero before the first
	begun    chan struct{}
}

// New makes a feed of log.
func New(log *eventlog.Log, now func() time.Time) *Feed {
	return &Feed{log: log, now: now, moved: make(chan struct{}), begun: make(chan struct{})}
}

// Watch adds a watcher. It must be added before Run, and never block: everybody
// behind it waits.
func (f *Feed) Watch(w func(eventlog.Record)) { f.watchers = append(f.watchers, w) }

// Run follows the log from its present end until ctx ends.
func (f *Feed) Run(ctx context.Context) error {
	head, err := f.head(ctx)
	if err != nil {
		return fmt.Errorf("start the feed: %w", err)
	}
	f.advance(head)
	return f.log.Follow(ctx, head, func(item eventlog.Item) error {
		switch {
		case item.CaughtUp:
			f.setLive(true)
		case item.Lost:
			f.setLive(false)
		default:
			for _, w := range f.watchers {
				w(item.Record)
			}
			f.advance(item.Record.Position)
		}
		return nil
	})
}

// head is the log's present end, however long the log is away.
func (f *Feed) head(ctx context.Context) (eventlog.Position, error) {
	for {
		if err := f.log.Ready(ctx); err != nil {
			return eventlog.Position{}, err
		}
		head, err := f.log.Head(ctx)
		if !errors.Is(err, eventlog.ErrUnavailable) || ctx.Err() != nil {
			return head, err
		}
	}
}

func (f *Feed) advance(p eventlog.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.position = p
	close(f.moved)
	f.moved = make(chan struct{})
}

func (f *Feed) setLive(live bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.live == live {
		return
	}
	if f.since.IsZero() {
		close(f.begun)
	}
	f.live, f.since = live, f.now()
}

// Begun returns once every watcher is told of whatever is appended from then on,
// or with ctx's error.
func (f *Feed) Begun(ctx context.Context) error {
	select {
	case <-f.begun:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the feed to begin: %w", ctx.Err())
	}
}

// Position is that of the last record that every watcher has seen.
func (f *Feed) Position() eventlog.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.position
}

// Silent is how long the feed has been out of touch with the log; zero while it
// is live, and for ever before it was live for the first time: nobody was told
// what happened until then.
func (f *Feed) Silent() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.live:
		return 0
	case f.since.IsZero():
		return math.MaxInt64
	default:
		return max(f.now().Sub(f.since), 1)
	}
}

// Wait returns once every watcher has seen the log up to p, or with ctx's error.
func (f *Feed) Wait(ctx context.Context, p eventlog.Position) error {
	for {
		f.mu.Lock()
		there, moved := !f.position.Less(p), f.moved
		f.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("wait for the feed to reach %s: %w", p, ctx.Err())
		}
	}
}
