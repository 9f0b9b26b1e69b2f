package projections

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// A group that catches up would hardly ever meet one that moves. So a group
// never goes past one ahead of it within a batch, and asks that one to wait at
// the end of its own batch. It then arrives exactly there, and the two are one.

const (
	// holdBound is how long a group waits for one behind it: a batch or two.
	holdBound = time.Second
	// holdPause is how long a group that was not waited for leaves the one ahead
	// in peace.
	holdPause = 30 * time.Second
)

// hold is a group's wish that another waits.
type hold struct {
	by       *group
	released chan struct{}
}

// begin claims the front of records for one transaction of the group, which it
// returns as it is now. It first waits for a group behind that asked for it.
func (g *group) begin(ctx context.Context, records []eventlog.Record) (*roster, int, error) {
	g.run.mu.Lock()
	defer g.run.mu.Unlock()
	for g.hold != nil {
		asked := g.hold
		g.run.mu.Unlock()
		asked.wait(ctx)
		g.run.mu.Lock()
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if g.hold == asked { // in vain
			asked.by.nextHold = g.run.options.Now().Add(holdPause)
			g.free()
		}
	}
	g.busy = true
	return g.roster, g.reach(records), nil
}

func (h *hold) wait(ctx context.Context) {
	t := time.NewTimer(holdBound)
	defer t.Stop()
	select {
	case <-h.released:
	case <-t.C:
	case <-ctx.Done():
	}
}

// reach is how many records the group may apply without passing the next group
// ahead, which is asked to wait when it is that near. The caller holds run.mu.
func (g *group) reach(records []eventlog.Record) int {
	n := len(records)
	var next *group
	for h := range g.run.groups {
		if h == g || h.stuck != nil || !g.position.Less(h.position) {
			continue
		}
		for i := range n {
			if records[i].Position == h.position {
				n, next = i+1, h
				break
			}
		}
	}
	if next != nil && next.hold == nil && !g.run.options.Now().Before(g.nextHold) {
		next.hold = &hold{by: g, released: make(chan struct{})}
	}
	return n
}

// meet joins a group that waits where this one is. It reports whether this one
// is no more.
func (g *group) meet(ctx context.Context) bool {
	joined := g.join()
	if joined == nil {
		return false
	}
	g.run.metrics.merges.Inc()
	g.run.options.Logger.InfoContext(ctx, "groups of projectors merged", slog.Any("projectors", joined.names),
		slog.String("position", g.position.String()))
	return true
}

func (g *group) join() *roster {
	g.run.mu.Lock()
	defer g.run.mu.Unlock()
	for h := range g.run.groups {
		if h == g || h.busy || h.stuck != nil || h.position != g.position {
			continue
		}
		h.roster = newRoster(slices.Concat(h.roster.members, g.roster.members)...)
		g.run.options.Awaiter.moved(g.roster.names, h.position, h.behind)
		delete(g.run.groups, g)
		g.run.releaseHolds(g)
		g.free()
		return h.roster
	}
	return nil
}

// free lets the group go on. The caller holds run.mu.
func (g *group) free() {
	if g.hold != nil {
		close(g.hold.released)
		g.hold = nil
	}
}

// releaseHolds takes back what by asked of others. The caller holds run.mu.
func (r *run) releaseHolds(by *group) {
	for h := range r.groups {
		if h.hold != nil && h.hold.by == by {
			h.free()
		}
	}
}
