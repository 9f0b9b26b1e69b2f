package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// bound is how long a behaviour may take. It is reached only by one that fails.
const bound = time.Minute

// Trial is one attempt at a behaviour.
type Trial struct {
	testing.TB
	Client

	ctx     context.Context
	connect func(testing.TB) Client
	prefix  string
}

func newTrial(t testing.TB, connect func(testing.TB) Client) *Trial {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	return &Trial{
		TB: t, Client: connect(t), ctx: ctx, connect: connect,
		prefix: "conformance-" + uuid.NewString()[:8] + "-",
	}
}

// stream is a name that nobody else has.
func (t *Trial) stream(name string) string { return t.prefix + name }

// event is a new event that says something.
func event(text string) Event {
	return Event{
		ID: uuid.New(), Type: "test", JSON: true,
		Data: fmt.Appendf(nil, "%q", text), Metadata: []byte(`{"meta":1}`),
	}
}

func events(texts ...string) []Event {
	var out []Event
	for _, text := range texts {
		out = append(out, event(text))
	}
	return out
}

func (t *Trial) append(stream string, expected Expected, events ...Event) Receipt {
	t.Helper()
	receipt, err := t.Append(t.ctx, stream, expected, events...)
	if err != nil {
		t.Fatalf("append to %s: %v", stream, err)
	}
	return receipt
}

// say appends new events.
func (t *Trial) say(stream string, texts ...string) Receipt {
	t.Helper()
	return t.append(stream, Any, events(texts...)...)
}

func (t *Trial) read(stream string, r Read) []Resolved {
	t.Helper()
	got, err := t.Read(t.ctx, stream, r)
	if err != nil {
		t.Fatalf("read %s: %v", stream, err)
	}
	return got
}

func (t *Trial) setMetadata(stream string, m Metadata) Receipt {
	t.Helper()
	receipt, err := t.SetMetadata(t.ctx, stream, Any, m)
	if err != nil {
		t.Fatalf("set the metadata of %s: %v", stream, err)
	}
	return receipt
}

func (t *Trial) delete(stream string) Position {
	t.Helper()
	p, err := t.Delete(t.ctx, stream, Any)
	if err != nil {
		t.Fatalf("delete %s: %v", stream, err)
	}
	return p
}

func (t *Trial) tombstone(stream string) Position {
	t.Helper()
	p, err := t.Tombstone(t.ctx, stream, Any)
	if err != nil {
		t.Fatalf("tombstone %s: %v", stream, err)
	}
	return p
}

// show gives an event as "revision:text".
func show(r Resolved) string {
	e := r.Original()
	return fmt.Sprintf("%d:%s", e.Revision, strings.Trim(string(e.Data), `"`))
}

func (t *Trial) wantShown(what string, got []Resolved, want ...string) {
	t.Helper()
	shown := []string{}
	for _, r := range got {
		shown = append(shown, show(r))
	}
	if !slices.Equal(shown, want) {
		t.Errorf("%s: got %q, want %q", what, shown, want)
	}
}

// wantStream expects a stream to read as it says, and nothing else.
func (t *Trial) wantStream(stream string, want ...string) {
	t.Helper()
	t.wantShown(stream, t.read(stream, Read{Count: Everything}), want...)
}

func (t *Trial) wantError(what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// mine are those of the log's events that this trial wrote.
func (t *Trial) mine(all []Resolved) []Resolved {
	return slices.DeleteFunc(slices.Clone(all), func(r Resolved) bool { return !t.owns(r.Original()) })
}

// owns is true also for the metadata of a stream of its own.
func (t *Trial) owns(e *Recorded) bool {
	return strings.HasPrefix(strings.TrimPrefix(e.Stream, "$$"), t.prefix)
}

// backPage is how much of the log is read at once, backwards.
const backPage = 500

// back reads the log from a place backwards to a position, which it includes,
// and gives what is its own.
func (t *Trial) back(from Place, to Position) []Resolved {
	t.Helper()
	var out []Resolved
	for {
		page := t.read(All, Read{From: from, Backwards: true, Count: backPage})
		for _, r := range page {
			if r.Original().Position.Before(to) {
				return out
			}
			out = append(out, t.mine([]Resolved{r})...)
		}
		if len(page) < backPage {
			return out
		}
		from = AtPosition(page[len(page)-1].Original().Position)
	}
}

// follow opens a subscription.
func (t *Trial) follow(stream string, s Subscribe) *following {
	t.Helper()
	sub, err := t.Subscribe(t.ctx, stream, s)
	if err != nil {
		t.Fatalf("subscribe to %s: %v", stream, err)
	}
	t.Cleanup(sub.Close)
	return &following{t, sub}
}

// following is an open subscription.
type following struct {
	t   *Trial
	sub Subscription
}

// next is the next message but for events that others wrote.
func (f *following) next() Message {
	for {
		m := f.sub.Next()
		if m.Kind != Appeared || f.t.owns(m.Resolved.Original()) {
			return m
		}
	}
}

// want expects messages: events as show gives them, and kinds.
func (f *following) want(want ...string) {
	f.t.Helper()
	for i, w := range want {
		if m := f.next(); m.text() != w {
			f.t.Fatalf("message %d is %q (%v), want %q", i, m.text(), m.Err, w)
		}
	}
}

// wantEvents is want that overlooks checkpoints.
func (f *following) wantEvents(want ...string) {
	f.t.Helper()
	for i, w := range want {
		m := f.next()
		for m.Kind == Checkpoint {
			m = f.next()
		}
		if m.text() != w {
			f.t.Fatalf("message %d is %q (%v), want %q", i, m.text(), m.Err, w)
		}
	}
}

func (m Message) text() string {
	if m.Kind == Appeared {
		return show(m.Resolved)
	}
	return string(m.Kind)
}
