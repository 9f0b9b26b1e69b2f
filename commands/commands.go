// Package commands runs decisions against the log. One method per command; each
// reads its stream, asks the domain, appends what it said. What all of them
// share is written once, in decide.
package commands

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// Vault is what commands need of the keys: events are sealed, keys and inputs
// are hashed.
type Vault interface {
	eventschema.Sealer
	HMAC(purpose string, parts ...[]byte) [32]byte
}

// KeyIndex finds commands by their idempotency key in all of a stream's history.
type KeyIndex interface {
	// FindKey returns the revision of the first event that the command appended.
	// Indexed is the position in the log up to which a key that was not found was
	// not used.
	FindKey(ctx context.Context, stream, key string) (revision int64, found bool, indexed eventlog.Position, err error)
}

// Snapshots keep folded states. They are a cache: losing them changes no answer.
type Snapshots interface {
	// LoadSnapshot returns the newest snapshot of a stream made by the fold that
	// hash names, or no data.
	LoadSnapshot(ctx context.Context, stream, hash string) (data []byte, err error)
	SaveSnapshot(ctx context.Context, stream, hash string, revision int64, data []byte) error
}

// Limits are what /capabilities promises and decisions hold to.
type Limits struct {
	MaxProjects           int
	MaxSessionsPerProject int
	RefreshTTL            time.Duration
}

// Options are what Handlers are made of. Keys and Snapshots may be nil.
type Options struct {
	Log       *eventlog.Log
	Vault     Vault
	Keys      KeyIndex
	Snapshots Snapshots
	Passwords Passwords
	Rules     PasswordRules
	Tokens    Tokens
	Throttle  Throttle
	Refusals  *Refusals
	// CountProjects is how many projects there are; nil counts none.
	CountProjects func(context.Context) (int, error)
	Now           func() time.Time
	Limits        Limits
	// CacheBytes bounds the folded states in memory; 32 MiB if zero.
	CacheBytes uint64
	// Build names the program. A snapshot of another build is not used: the same
	// events may add up to something else there.
	Build      string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Handlers run commands. They are safe for concurrent use.
type Handlers struct {
	log    *eventlog.Log
	lanes  eventlog.Lanes
	vault  Vault
	keys   KeyIndex
	states *stateCache

	passwords Passwords
	rules     PasswordRules
	tokens    Tokens
	throttle  Throttle
	refusals  *Refusals

	countProjects func(context.Context) (int, error)
	now           func() time.Time
	limits        Limits
	metrics       *metrics
}

// New makes Handlers; Close ends what they do in the background.
func New(o Options) (*Handlers, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CountProjects == nil {
		o.CountProjects = func(context.Context) (int, error) { return 0, nil }
	}
	m := newMetrics(o.Registerer)
	states, err := newStateCache(o, m)
	if err != nil {
		return nil, err
	}
	return &Handlers{
		log: o.Log, vault: o.Vault, keys: o.Keys, states: states,
		passwords: o.Passwords, rules: o.Rules, tokens: o.Tokens, throttle: o.Throttle, refusals: o.Refusals,
		countProjects: o.CountProjects,
		now:           o.Now, limits: o.Limits, metrics: m,
	}, nil
}

// Close writes the snapshots that are waiting, as long as ctx allows.
func (h *Handlers) Close(ctx context.Context) error { return h.states.close(ctx) }

// Watch takes one record of the log's live end: a project that another node
// deleted is forgotten here, so that the next command below it sees the deletion.
// It never blocks.
//
// It makes a deletion prompt, not exact: that a closed session refuses whatever
// node asks is what makes it exact.
func (h *Handlers) Watch(r eventlog.Record) {
	if r.Stored.Name == projectDeleted {
		h.states.forget(r.Stream, r.Revision)
	}
}

var projectDeleted = eventschema.ProjectDeleted{}.EventName()

// Receipt tells the caller where a command's events are, or would have been.
type Receipt struct {
	Stream string
	// Revision is that of the last event, or of the stream's last event when
	// nothing had to change.
	Revision int64
	// Position is where a read model must be to show the command's effect.
	Position eventlog.Position
	// Events are what the command appended, now or, when Replayed, before.
	Events []eventschema.Event
	// At is when the events were appended; of a creation, when what it created
	// began.
	At       time.Time
	Replayed bool

	// why is the first of the events, as a cause of others.
	why eventlog.Record
}

// Types are the stored names of the command's events.
func (r Receipt) Types() []string {
	types := make([]string, len(r.Events))
	for i, e := range r.Events {
		types[i] = e.EventName()
	}
	return types
}

// then is r with what a completion added.
func (r Receipt) then(completion Receipt) Receipt {
	r.Stream, r.Revision = completion.Stream, completion.Revision
	if r.Position.Less(completion.Position) {
		r.Position = completion.Position
	}
	r.Events = append(slices.Clip(r.Events), completion.Events...)
	return r
}

// created is the receipt of a creation that two appends make: decided is the
// first, and started begins the stream of what was created, at the same time. A
// log may hold beginnings with a time of their own, which the read models show: a
// replay answers with what is recorded.
func (h *Handlers) created(ctx context.Context, decided, started Receipt) (Receipt, error) {
	r := decided.then(started)
	if !decided.Replayed {
		return r, nil
	}
	began, err := h.log.Read(ctx, started.Stream, 0, 1)
	if err == nil && len(began) == 0 {
		err = fmt.Errorf("%s has no beginning", started.Stream)
	}
	if err != nil {
		return Receipt{}, err
	}
	r.At = began[0].Meta.At
	return r, nil
}

// first is the command's first event of type E.
func first[E eventschema.Event](r Receipt) (E, bool) {
	for _, e := range r.Events {
		if e, ok := e.(E); ok {
			return e, true
		}
	}
	var zero E
	return zero, false
}

// What every command may answer.
var (
	ErrConflict = fault.New(fault.Conflict, "conflict", "The resource is changing too fast; try again.")
	ErrKeyReuse = fault.New(fault.Conflict, "idempotency_key_reused", "This idempotency key was used for another request.")
)

// asFault finds the documented failure in err.
func asFault(err error) (*fault.Error, bool) { return errors.AsType[*fault.Error](err) }

// hash is the keyed hash that stands for parts in the log.
func (h *Handlers) hash(purpose string, parts ...[]byte) string {
	s := h.vault.HMAC(purpose, parts...)
	return hex.EncodeToString(s[:16])
}
