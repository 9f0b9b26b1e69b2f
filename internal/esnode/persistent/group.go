package persistent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
)

// maxWaiting bounds the bytes of the events that wait for a consumer, and of
// those that one has, beside their number. One event more may go beyond it.
const maxWaiting = 16 << 20

// group is one group. Its fields belong to the goroutine that runs it; others
// hand it what to do.
type group struct {
	definition

	engine *engine.Engine
	logger *slog.Logger
	ctx    context.Context // ends with the group
	last   context.Context // for what is to be done then
	calls  chan func()
	ended  chan struct{} // closed when it has ended
	feed   chan engine.Message

	consumers []*Consumer
	turn      int
	retry     []*message // goes before waiting
	waiting   []*message
	bytes     int         // of waiting
	given     []*delivery // in the order of their deadlines; may be over

	source  ledger
	feeding bool
	live    bool
	known   *place // the last place that was read
	total   int64
	parked  parked
	noted   *place    // the last checkpoint
	due     time.Time // the next one is not before, unless there is too much to note
	broken  bool      // the last one could not be written
}

// do has f called by the group's goroutine. It is false if the group has ended.
func (g *group) do(f func()) bool {
	done := make(chan struct{})
	select {
	case g.calls <- func() { defer close(done); f() }:
	case <-g.ended:
		return false
	}
	select {
	case <-done:
		return true
	case <-g.ended:
		return false
	}
}

// run serves the group until its context ends, whose cause its consumers get.
func (g *group) run() {
	defer close(g.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		g.replay()
		g.push()
		g.checkpoint()
		timer.Reset(g.untilNext(time.Now()))
		var feed chan engine.Message
		if len(g.consumers) > 0 && len(g.waiting) < g.settings.HistoryBufferSize && g.bytes < maxWaiting {
			feed = g.feed
		}
		select {
		case f := <-g.calls:
			f()
		case m := <-feed:
			g.take(m)
		case <-timer.C:
			g.expire(time.Now())
		case <-g.ctx.Done():
			g.leave()
			for _, c := range g.consumers {
				c.drop(context.Cause(g.ctx))
			}
			return
		}
	}
}

// connect adds a consumer. The first has the group begin to read.
func (g *group) connect(size int) (*Consumer, error) {
	if most := g.settings.MaxSubscriberCount; most > 0 && len(g.consumers) >= most {
		return nil, ErrMaxSubscribers
	}
	c := &Consumer{
		ID: uuid.New(), group: g, size: size, events: make(chan Delivered, size), gone: make(chan struct{}),
		held: make(map[[16]byte][]*delivery),
	}
	g.consumers = append(g.consumers, c)
	if !g.feeding {
		g.feeding = true
		go g.read(g.messages()) // it ends with the group's context
	}
	return c, nil
}

func (g *group) messages() func(func(engine.Message, error) bool) {
	after := g.noted
	if after == nil {
		after = g.after
	}
	if g.key.Stream != All {
		s := engine.StreamSubscription{Stream: g.key.Stream, ResolveLinks: g.settings.ResolveLinks}
		if after != nil {
			s.Start.After = &after.revision
		}
		return g.engine.SubscribeStream(g.ctx, s)
	}
	s := engine.AllSubscription{ResolveLinks: g.settings.ResolveLinks}
	if after != nil {
		s.Start.After = &after.position
	}
	if g.settings.Filter != nil {
		s.Filter, _ = engine.NewFilter(*g.settings.Filter) // was checked with the settings
		s.CheckpointEvery = uint64(g.settings.MaxCheckpointCount)
	}
	return g.engine.SubscribeAll(g.ctx, s)
}

func (g *group) read(messages func(func(engine.Message, error) bool)) {
	for m, err := range messages {
		if err != nil {
			if g.ctx.Err() == nil {
				g.logger.Warn("a persistent subscription can read no further",
					slog.String("subscription", g.key.String()), slog.Any("error", err))
			}
			return
		}
		select {
		case g.feed <- m:
		case <-g.ctx.Done():
			return
		}
	}
}

func (g *group) take(m engine.Message) {
	switch m.Kind {
	case engine.CaughtUp:
		g.live = true
	case engine.Checkpoint:
		p := place{position: m.Position}
		g.known = &p
		g.source.pass(p)
		g.source.moved = true
	case engine.EventAppeared:
		event := m.Resolved.Event
		if m.Resolved.Link != nil {
			event = m.Resolved.Link
		}
		p := place{revision: event.Revision, position: engine.Position{Commit: event.Position, Prepare: event.Position}}
		g.known = &p
		if name := string(event.Stream); name == g.key.checkpoints() || name == g.key.parked() {
			g.source.pass(p) // or its own progress would be news to it
			return
		}
		m := &message{Delivered: Delivered{Resolved: m.Resolved}, ledger: &g.source, line: g.source.add(p), waits: size(m.Resolved)}
		g.waiting = append(g.waiting, m)
		g.bytes += m.waits
	case engine.Confirmed:
	}
}

func size(r engine.Resolved) (n int) {
	if r.Event != nil {
		n += len(r.Event.Data) + len(r.Event.Metadata)
	}
	if r.Link != nil {
		n += len(r.Link.Data) + len(r.Link.Metadata)
	}
	return n
}

func (g *group) ack(c *Consumer, ids [][16]byte) {
	for _, id := range ids {
		if d := c.take(id); d != nil {
			d.message.settle()
		}
	}
}

func (g *group) nack(c *Consumer, ids [][16]byte, action Action, reason string) {
	for _, id := range ids {
		d := c.take(id)
		if d == nil {
			continue
		}
		switch action {
		case Skip:
			d.message.settle()
		case Park:
			g.park(d.message, "Client explicitly NAK'ed message.\n"+reason)
		case Stop:
			g.retry = append(g.retry, d.message)
		case Retry:
			g.again(d.message)
		}
	}
	if action == Stop {
		c.drop(ErrDropped)
		g.remove(c)
	}
}

// again has an event given once more, unless that was done often enough.
func (g *group) again(m *message) {
	if m.Retries >= g.settings.MaxRetryCount {
		g.park(m, "Reached retry count of "+strconv.Itoa(g.settings.MaxRetryCount))
		return
	}
	m.Retries++
	g.retry = append(g.retry, m)
}

// remove takes a consumer out. What it had is given to others, in its order.
func (g *group) remove(c *Consumer) {
	i := slices.Index(g.consumers, c)
	if i < 0 {
		return
	}
	g.consumers = slices.Delete(g.consumers, i, i+1)
	for _, d := range g.given {
		if d.consumer == c && !d.over {
			d.over = true
			g.retry = append(g.retry, d.message)
		}
	}
	clear(c.held)
	c.count, c.bytes = 0, 0
}

// expire takes back what consumers have had for too long.
func (g *group) expire(now time.Time) {
	for _, d := range g.given {
		if !d.over && !d.deadline.IsZero() && !d.deadline.After(now) {
			d.consumer.forget(d)
			g.again(d.message)
		}
	}
}

// idle is how long a group that has nothing to wait for waits.
const idle = time.Hour

// untilNext is when the group has to look at its clocks again.
func (g *group) untilNext(now time.Time) time.Duration {
	g.compact()
	wait := idle
	if len(g.given) > 0 && !g.given[0].deadline.IsZero() {
		wait = g.given[0].deadline.Sub(now)
	}
	if g.toNote() {
		wait = min(wait, g.due.Sub(now))
	}
	return max(wait, time.Millisecond)
}

// compact forgets deliveries that are over, so that the first is the next to
// expire, and no more are kept than a few for each that is not over.
func (g *group) compact() {
	for len(g.given) > 0 && g.given[0].over {
		g.given[0] = nil
		g.given = g.given[1:]
	}
	const few = 64
	if len(g.given) > few+2*g.outstanding() {
		g.given = slices.DeleteFunc(g.given, func(d *delivery) bool { return d.over })
	}
}

// outstanding is how many events consumers have.
func (g *group) outstanding() (n int) {
	for _, c := range g.consumers {
		n += c.count
	}
	return n
}

// failed reports a write that could not be made. What it was for is still to be
// done, and is tried again.
func (g *group) failed(what string, err error) {
	if !errors.Is(err, context.Canceled) {
		g.logger.Error("a persistent subscription's state cannot be written", slog.String("subscription", g.key.String()),
			slog.String("state", what), slog.Any("error", err))
	}
}
