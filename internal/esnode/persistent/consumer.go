package persistent

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
)

// Delivered is an event as a consumer gets it.
type Delivered struct {
	Resolved engine.Resolved
	// Retries counts how often it was given before, but for consumers that went.
	Retries int
}

// id is how a consumer names an event: that of the link, if it is one.
func (d Delivered) id() [16]byte {
	if d.Resolved.Link != nil {
		return d.Resolved.Link.ID
	}
	return d.Resolved.Event.ID
}

// Action is what becomes of an event that a consumer could not process.
type Action uint8

// The actions. An unknown one is a Retry, as with EventStoreDB.
const (
	Retry Action = iota
	Park
	Skip
	Stop // drops the consumer; the event is given again
)

// Consumer is one that shares a group's events. Its methods may be called
// concurrently.
type Consumer struct {
	ID uuid.UUID

	group  *group
	size   int
	events chan Delivered
	gone   chan struct{}
	once   sync.Once
	err    error // set before gone is closed

	// The rest belongs to the group's goroutine.
	held  map[[16]byte][]*delivery
	count int
	bytes int
	total int64
}

// delivery is an event that a consumer has.
type delivery struct {
	message  *message
	consumer *Consumer
	deadline time.Time
	over     bool
}

// Next waits for an event. The error is ErrDropped, ctx's, or what ended the
// group.
func (c *Consumer) Next(ctx context.Context) (Delivered, error) {
	select {
	case d := <-c.events:
		return d, nil
	case <-c.gone:
		return Delivered{}, c.err
	case <-ctx.Done():
		return Delivered{}, ctx.Err()
	}
}

// Ack settles events. Those that the consumer does not have (any more) are
// overlooked.
func (c *Consumer) Ack(ids ...[16]byte) {
	c.group.do(func() { c.group.ack(c, ids) })
}

// Nack says that events could not be processed, why, and what to do.
func (c *Consumer) Nack(action Action, reason string, ids ...[16]byte) {
	c.group.do(func() { c.group.nack(c, ids, action, reason) })
}

// Close ends the consumer. What it has is given to others.
func (c *Consumer) Close() {
	c.drop(ErrDropped)
	c.group.do(func() { c.group.remove(c) })
}

func (c *Consumer) drop(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.gone)
	})
}

// free is true when the consumer may have another event: by their number, and
// by their bytes, which is for the server's sake.
func (c *Consumer) free() bool {
	return c.count < c.size && len(c.events) < cap(c.events) && c.bytes < maxWaiting
}

// take ends deliveries of an event to the consumer, and gives the first.
func (c *Consumer) take(id [16]byte) *delivery {
	held := c.held[id]
	if len(held) == 0 {
		return nil
	}
	c.forget(held[0])
	return held[0]
}

func (c *Consumer) forget(d *delivery) {
	d.over = true
	c.count--
	c.bytes -= size(d.message.Resolved)
	id := d.message.id()
	for i, held := range c.held[id] {
		if held == d {
			c.held[id] = append(c.held[id][:i:i], c.held[id][i+1:]...)
		}
	}
	if len(c.held[id]) == 0 {
		delete(c.held, id)
	}
}
