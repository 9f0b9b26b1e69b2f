package commands

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
)

const (
	refusalsWaiting = 4_096
	refusalsAppend  = 100 // events of one append
	summaryEvery    = 10 * time.Second
	// recordAgain is how long refusals wait for a log that is away.
	recordAgain = time.Second
	// maxPath bounds what is recorded of a refused path, in bytes.
	maxPath = 512
)

// Refusals records what was refused, behind the answer's back: the answer does
// not wait. What is too much to be recorded one by one is counted, and so is what
// could not be recorded; the next summary has the counts. Run must run.
type Refusals struct {
	publisher message.Publisher
	vault     Vault
	now       func() time.Time
	logger    *slog.Logger
	queue     chan refusal
	book      *refusalBook
}

// refusal is what is kept of a refused request until it is recorded.
type refusal struct {
	who   identity.Principal
	req   identity.Request
	event eventschema.ActivityEvent
	code  string
	at    time.Time
}

// NewRefusals makes a recorder that publishes to the hour's activity stream.
func NewRefusals(p message.Publisher, v Vault, now func() time.Time, logger *slog.Logger) *Refusals {
	return &Refusals{publisher: p, vault: v, now: now, logger: logger, queue: make(chan refusal, refusalsWaiting), book: newRefusalBook()}
}

// AccessDenied records that an operation was refused with a code. It never
// blocks.
func (r *Refusals) AccessDenied(ctx context.Context, code string) {
	req := identity.RequestOf(ctx)
	r.put(ctx, code, eventschema.AccessDenied{Operation: req.OperationID, Path: recordable(req.Path), Code: code})
}

// LoginFailed records a login that was refused with a code. It never blocks.
func (r *Refusals) LoginFailed(ctx context.Context, method, emailHash, code string) {
	r.put(ctx, code, eventschema.LoginFailed{Method: method, EmailHash: emailHash, Code: code})
}

// recordable is the beginning of a path that somebody chose freely, as the log
// can hold it: nobody hides behind a path that cannot be stored.
func recordable(path string) string {
	if len(path) > maxPath {
		path = path[:maxPath]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(path, "\uFFFD"), "\x00", "\uFFFD")
}

func (r *Refusals) put(ctx context.Context, code string, e eventschema.ActivityEvent) {
	req := identity.RequestOf(ctx)
	req.Input = nil // it may be large, and waits for nothing here
	b := refusal{who: identity.PrincipalOf(ctx), req: req, event: e, code: code, at: r.now()}
	if !r.book.admit(b) {
		return
	}
	select {
	case r.queue <- b:
	default:
		r.book.count(b)
	}
}

// Run records refusals until ctx ends, and then what is left.
func (r *Refusals) Run(ctx context.Context) error {
	tick := time.NewTicker(summaryEvery)
	defer tick.Stop()
	reached := true // the log was there when it was last needed
	for {
		select {
		case first := <-r.queue:
			reached = r.record(ctx, r.batch(first))
		case <-tick.C:
			reached = r.summarize(ctx)
		case <-ctx.Done():
			r.drain(context.WithoutCancel(ctx), reached)
			return nil
		}
	}
}

// drain records what is left, unless the log is away: there is no time to wait.
func (r *Refusals) drain(ctx context.Context, reached bool) {
	ctx, cancel := context.WithCancel(ctx)
	cancel() // nothing is tried again
	for reached {
		select {
		case first := <-r.queue:
			reached = r.record(ctx, r.batch(first))
			continue
		default:
			r.summarize(ctx)
		}
		break
	}
	if e, counted := r.book.close(r.now()); counted || len(r.queue) > 0 {
		r.logger.ErrorContext(ctx, "refusals not recorded", slog.Int("waiting", len(r.queue)), slog.Any("counted", e.ByCode))
		r.book.reopen(e)
	}
}

// batch takes what waits, up to one append's worth.
func (r *Refusals) batch(first refusal) []refusal {
	batch := []refusal{first}
	for len(batch) < refusalsAppend {
		select {
		case next := <-r.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// record appends the batch, and waits for the log as long as ctx allows. What
// cannot be recorded is counted; record reports false then.
func (r *Refusals) record(ctx context.Context, batch []refusal) bool {
	messages := make([]*message.Message, 0, len(batch))
	for _, b := range batch {
		msg, err := r.message(ctx, b)
		if err != nil {
			r.logger.ErrorContext(ctx, "refusal not recorded", slog.Any("error", err))
			r.book.count(b)
			continue
		}
		batch[len(messages)] = b
		messages = append(messages, msg)
	}
	if err := r.publish(ctx, messages); err != nil {
		r.logger.ErrorContext(ctx, "refusals not recorded", slog.Int("count", len(messages)), slog.Any("error", err))
		r.book.count(batch[:len(messages)]...)
		return false
	}
	return true
}

// publish appends the same events, which have their ids, until it is known that
// they are in the log.
func (r *Refusals) publish(ctx context.Context, messages []*message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	for {
		err := r.publisher.Publish(activityStream(r.now()), messages...)
		if err == nil || fault.KindOf(err) != fault.Unavailable || ctx.Err() != nil {
			return err
		}
		r.logger.WarnContext(ctx, "refusals wait for the log", slog.Int("count", len(messages)), slog.Any("error", err))
		pause(ctx, recordAgain)
	}
}

func (r *Refusals) message(ctx context.Context, b refusal) (*message.Message, error) {
	stored, err := eventschema.All.Encode(b.event, r.vault)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make an event id: %w", err)
	}
	return eventlog.NewMessage(ctx, eventlog.Event{ID: id, Stored: stored, Meta: eventlog.Meta{
		At: inLog(b.at), ActorUserID: b.who.UserID, ActorKind: string(b.who.Kind), CredentialID: b.who.CredentialID,
		RequestID: b.req.ID, IP: b.req.IP, CorrelationID: correlation(b.req),
	}})
}

// summarize records what was counted since the last time. What cannot be recorded
// stays counted.
func (r *Refusals) summarize(ctx context.Context) bool {
	e, counted := r.book.close(r.now())
	if !counted {
		return true
	}
	msg, err := r.message(ctx, refusal{who: identity.Server(), event: e, at: r.now()})
	if err == nil {
		err = r.publish(ctx, []*message.Message{msg})
	}
	if err != nil {
		r.logger.ErrorContext(ctx, "summary of refusals not recorded", slog.Any("error", err))
		r.book.reopen(e)
	}
	return err == nil
}

// activityStream is where the facts of an hour go that belong to no aggregate.
func activityStream(at time.Time) string { return "activity-" + at.UTC().Format("20060102-15") }
