package conformance

import (
	"context"
	"time"
)

// Groups are an event store's persistent subscriptions as one of its clients
// shows them: groups of consumers that share the events of a stream, or of All.
type Groups interface {
	CreateGroup(ctx context.Context, stream, group string, s GroupSettings) error
	UpdateGroup(ctx context.Context, stream, group string, s GroupSettings) error
	DeleteGroup(ctx context.Context, stream, group string) error
	// Consume connects a consumer that may have so many events at once.
	Consume(ctx context.Context, stream, group string, buffer int) (Consumer, error)
	// ReplayParked gives again what is parked, up to a number, or all for zero.
	ReplayParked(ctx context.Context, stream, group string, stopAt int) error
	Group(ctx context.Context, stream, group string) (GroupInfo, error)
	// StreamGroups are those of a stream, and AllGroups all that there are.
	StreamGroups(ctx context.Context, stream string) ([]GroupInfo, error)
	AllGroups(ctx context.Context) ([]GroupInfo, error)
}

// GroupSettings are what a group is made with. What is not here is the client's
// default.
type GroupSettings struct {
	From         Place
	Filter       *Filter // of All only
	ResolveLinks bool
	MaxRetries   int
	Timeout      time.Duration // of a message
	MaxConsumers int
	Strategy     string
}

// The strategies by which events are shared between consumers.
const (
	RoundRobin       = "RoundRobin"
	DispatchToSingle = "DispatchToSingle"
	Pinned           = "Pinned"
)

// GroupInfo is how a group is.
type GroupInfo struct {
	Stream, Group    string
	MaxRetries       int
	Parked, InFlight int
	Checkpoint       *uint64 // of a stream: the last revision that is settled for good
}

// Action is what becomes of an event that a consumer could not process.
type Action int

// The actions.
const (
	Retry Action = iota
	Park
	Skip
)

// Consumer is a connected consumer.
type Consumer interface {
	Next() Delivery
	Ack(events ...Resolved) error
	Nack(action Action, events ...Resolved) error
	// Close ends it. It may be called more than once.
	Close()
}

// Delivery is an event as a consumer gets it, or how its connection ended.
type Delivery struct {
	Resolved Resolved
	Retries  int
	Err      error
}
