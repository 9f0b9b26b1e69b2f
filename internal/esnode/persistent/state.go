package persistent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const (
	checkpointType = "$SubscriptionCheckpoint"
	metadataType   = "$metadata"
	linkType       = "$>"
)

// load reads how far the group got, and what it has put aside.
func (g *group) load() error {
	last, err := lastEvent(g.ctx, g.engine, g.key.checkpoints())
	if err != nil {
		return fmt.Errorf("read the checkpoint of %s: %w", g.key, err)
	}
	if last != nil {
		var text string
		if err := json.Unmarshal(last.Data, &text); err != nil {
			return fmt.Errorf("read the checkpoint of %s: %w", g.key, err)
		}
		p, err := parsePlace(g.key.Stream, text)
		if err != nil {
			return fmt.Errorf("read the checkpoint of %s: %w", g.key, err)
		}
		g.noted = &p
	}
	first, err := oneEvent(g.ctx, g.engine, engine.StreamRead{Stream: g.key.parked(), Count: 1})
	if err != nil {
		return fmt.Errorf("read what %s has parked: %w", g.key, err)
	}
	if last, err = lastEvent(g.ctx, g.engine, g.key.parked()); err != nil {
		return fmt.Errorf("read what %s has parked: %w", g.key, err)
	}
	if first != nil && last != nil {
		g.parked.next, g.parked.stop, g.parked.end = first.Revision, first.Revision, last.Revision+1
	}
	return nil
}

// toNote is true when there is enough to be noted, once it is time.
func (g *group) toNote() bool {
	return g.source.moved || g.source.settled >= max(g.settings.MinCheckpointCount, 1)
}

// retryAfter is how long a checkpoint that could not be written waits.
const retryAfter = time.Second

// checkpoint notes how far the group got, when that is due.
func (g *group) checkpoint() {
	now := time.Now()
	full := g.source.settled >= g.settings.MaxCheckpointCount && !g.broken
	if g.source.done == nil || !g.toNote() || !full && now.Before(g.due) {
		return
	}
	if err := g.note(g.ctx); err != nil {
		g.due = now.Add(max(g.settings.CheckpointAfter, retryAfter))
		return
	}
	g.due = now.Add(g.settings.CheckpointAfter)
}

// leave notes how far the group got when it ends, due or not: what is settled is
// not given again. It takes as long as the disk does; who ends the node has a bound.
func (g *group) leave() {
	if g.source.done == nil || g.source.settled == 0 && !g.source.moved {
		return
	}
	_ = g.note(g.last) // it is reported; what it was about is given again
}

func (g *group) note(ctx context.Context) error {
	data, err := json.Marshal(g.source.done.text(g.key.Stream))
	if err == nil {
		_, err = appendEvent(ctx, g.engine, g.key.checkpoints(), storage.NewEvent{Type: checkpointType, JSON: true, Data: data})
	}
	g.broken = err != nil
	if err != nil {
		g.failed("checkpoint", err)
		return err
	}
	g.noted, g.source.settled, g.source.moved = g.source.done, 0, false
	return nil
}

// parked is what a group has put aside, in a stream of links. From next to stop
// it is to be given again; end is past the last.
type parked struct {
	ledger          ledger
	next, stop, end uint64
}

// park puts an event aside. It is settled when that is durable.
func (g *group) park(m *message, reason string) {
	original := m.Resolved.Event
	if original == nil {
		original = m.Resolved.Link
	}
	data := fmt.Appendf(nil, "%d@%s", original.Revision, original.Stream)
	if m.Resolved.Event == nil {
		data = original.Data
	}
	metadata, err := json.Marshal(struct {
		Added                   time.Time `json:"added"`
		Reason                  string    `json:"reason"`
		SubscriptionEventNumber uint64    `json:"subscriptionEventNumber"`
	}{time.Now().UTC(), reason, m.line.place.revision})
	var at uint64
	if err == nil {
		at, err = appendEvent(g.ctx, g.engine, g.key.parked(), storage.NewEvent{Type: linkType, Data: data, Metadata: metadata})
	}
	if err != nil {
		g.failed("parked event", err)
		g.retry = append(g.retry, m)
		return
	}
	if p := &g.parked; p.next == p.end {
		p.next, p.stop = at, at
	}
	g.parked.end = at + 1
	m.settle()
}

// replayParked begins to give again what is parked by now, at most up to a
// revision of the stream of parked events.
func (g *group) replayParked(stopAt *uint64) {
	g.parked.stop = max(g.parked.stop, g.parked.end)
	if stopAt != nil {
		g.parked.stop = max(g.parked.next, min(g.parked.stop, *stopAt))
	}
}

// replay takes from what is to be given again as much as there is room for, and
// removes what has been settled since.
func (g *group) replay() {
	p := &g.parked
	for p.next < p.stop && len(g.consumers) > 0 && len(g.retry) < g.settings.ReadBatchSize {
		read := engine.StreamRead{
			Stream: g.key.parked(), From: p.next, Count: min(p.stop-p.next, uint64(g.settings.ReadBatchSize)), ResolveLinks: true,
		}
		from := p.next
		for r, err := range g.engine.ReadStream(g.ctx, read) {
			if err != nil {
				if !errors.Is(err, engine.ErrStreamNotFound) {
					g.failed("reading what is parked", err)
				}
				p.stop = p.next
				return
			}
			n := p.ledger.add(place{revision: r.Link.Revision})
			p.next = r.Link.Revision + 1
			if r.Event == nil { // its event is gone
				p.ledger.settle(n)
				continue
			}
			g.retry = append(g.retry, &message{Delivered: Delivered{Resolved: r}, ledger: &p.ledger, line: n})
		}
		if p.next == from { // nothing of it can be read any more
			p.next = p.stop
		}
	}
	if p.ledger.settled > 0 && (len(p.ledger.open) == 0 || p.ledger.settled >= g.settings.MaxCheckpointCount) {
		g.unpark(p.ledger.done.revision + 1)
	}
}

// unpark hides parked events that have been settled.
func (g *group) unpark(before uint64) {
	data := fmt.Appendf(nil, `{"$tb":%d}`, before)
	_, err := appendEvent(g.ctx, g.engine, "$$"+g.key.parked(), storage.NewEvent{Type: metadataType, JSON: true, Data: data})
	if err != nil {
		g.failed("parked events", err)
	}
	g.parked.ledger.settled = 0 // with the next ones, if it failed
}
