package persistent

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"time"
)

// push gives consumers what they have room for: first what is given again.
func (g *group) push() {
	if g.isPinned() {
		g.retry = g.pushPinned(g.retry)
		g.waiting = g.pushPinned(g.waiting)
		return
	}
	g.retry = g.pushInOrder(g.retry)
	g.waiting = g.pushInOrder(g.waiting)
}

func (g *group) pushInOrder(queue []*message) []*message {
	for len(queue) > 0 && g.hasRoom() {
		g.give(g.next(), queue[0])
		queue[0] = nil
		queue = queue[1:]
	}
	return queue
}

// pushPinned passes over messages whose own consumer has no room, and keeps them
// in their order.
func (g *group) pushPinned(queue []*message) []*message {
	if !g.hasRoom() {
		return queue
	}
	rest := queue[:0]
	for _, m := range queue {
		if c := g.pinned(m); c.free() {
			g.give(c, m)
			continue
		}
		rest = append(rest, m)
	}
	clear(queue[len(rest):])
	return rest
}

func (g *group) hasRoom() bool {
	for _, c := range g.consumers {
		if c.free() {
			return true
		}
	}
	return false
}

func (g *group) give(c *Consumer, m *message) {
	d := &delivery{message: m, consumer: c}
	g.bytes -= m.waits
	m.waits = 0
	if g.settings.MessageTimeout > 0 {
		d.deadline = time.Now().Add(g.settings.MessageTimeout)
	}
	c.held[m.id()] = append(c.held[m.id()], d)
	c.count++
	c.bytes += size(m.Resolved)
	c.total++
	g.total++
	g.given = append(g.given, d)
	c.events <- m.Delivered // has room: only this goroutine fills it
}

func (g *group) isPinned() bool {
	return g.settings.Strategy == Pinned || g.settings.Strategy == PinnedByCorrelation
}

// next is the consumer whose turn it is, of those with room, of which there is
// one at least.
func (g *group) next() *Consumer {
	first := 0
	if g.settings.Strategy == RoundRobin {
		first = g.turn
	}
	for i := range g.consumers {
		at := (first + i) % len(g.consumers)
		if c := g.consumers[at]; c.free() {
			g.turn = at + 1
			return c
		}
	}
	return nil
}

// pinned is the consumer that all events of a kind go to, as long as it is
// there: the one that ranks highest for it, so that others keep theirs.
func (g *group) pinned(m *message) *Consumer {
	by := g.pin(m)
	var best *Consumer
	var most uint64
	for _, c := range g.consumers {
		h := fnv.New64a()
		_, _ = h.Write(c.ID[:]) // never fails
		_, _ = h.Write(by)
		if rank := mix(h.Sum64()); best == nil || rank > most {
			best, most = c, rank
		}
	}
	return best
}

// mix spreads a hash over all its bits, which FNV of similar texts does not.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// pin is what a message is pinned by: its stream, which for a link is that of
// its target, or what it is correlated by.
func (g *group) pin(m *message) []byte {
	event := m.Resolved.Event
	if event == nil {
		event = m.Resolved.Link
	}
	if g.settings.Strategy == PinnedByCorrelation {
		var metadata struct {
			ID string `json:"$correlationId"`
		}
		if json.Unmarshal(event.Metadata, &metadata) == nil && metadata.ID != "" {
			return []byte(metadata.ID)
		}
	}
	if string(event.Type) == linkType {
		if _, target, ok := bytes.Cut(event.Data, []byte{'@'}); ok {
			return target
		}
	}
	return event.Stream
}
