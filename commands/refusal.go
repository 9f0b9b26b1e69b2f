package commands

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// Refusals are recorded one by one as long as they are few: an attacker must
// neither fill the log nor hide. What is beyond the bounds is counted, and the
// exact counts are recorded every summaryEvery.
const (
	perSource       = 10  // a second, for one principal or one address
	perSourceBurst  = 20  // at once
	anonymousRate   = 100 // a second, for all addresses together
	anonymousBurst  = 200
	sourcesKnown    = 10_000
	refusalsWaiting = 4_096
	refusalsAppend  = 100
	summaryEvery    = 10 * time.Second
	summaryKeys     = 1_000
	// elsewhere counts the sources that a summary has no room to name.
	elsewhere = "other"
)

// Refusals records what was refused, behind the answer's back: the answer does
// not wait. Run must run.
type Refusals struct {
	publisher message.Publisher
	vault     Vault
	now       func() time.Time
	logger    *slog.Logger
	queue     chan refusal
}

type refusal struct {
	ctx   context.Context //nolint:containedctx // who and under which request, for the event's metadata
	event eventschema.ActivityEvent
	code  string
	at    time.Time
}

// NewRefusals makes a recorder that publishes to the day's activity stream.
func NewRefusals(p message.Publisher, v Vault, now func() time.Time, logger *slog.Logger) *Refusals {
	return &Refusals{publisher: p, vault: v, now: now, logger: logger, queue: make(chan refusal, refusalsWaiting)}
}

// AccessDenied records that an operation was refused with a code. It never
// blocks; when even the queue is full the refusal is a metric and a log line only.
func (r *Refusals) AccessDenied(ctx context.Context, code string) {
	req := identity.RequestOf(ctx)
	r.put(ctx, code, eventschema.AccessDenied{Operation: req.OperationID, Path: req.Path, Code: code})
}

// LoginFailed records a login that was refused with a code.
func (r *Refusals) LoginFailed(ctx context.Context, method, emailHash, code string) {
	r.put(ctx, code, eventschema.LoginFailed{Method: method, EmailHash: emailHash, Code: code})
}

func (r *Refusals) put(ctx context.Context, code string, e eventschema.ActivityEvent) {
	select {
	case r.queue <- refusal{context.WithoutCancel(ctx), e, code, r.now()}:
	default:
		r.logger.WarnContext(ctx, "too many refusals to record", slog.String("code", code))
	}
}

// Run records refusals until ctx ends, and then what is left.
func (r *Refusals) Run(ctx context.Context) error {
	sources, err := simplelru.NewLRU[string, *rate.Limiter](sourcesKnown, nil)
	if err != nil {
		return fmt.Errorf("remember the sources of refusals: %w", err)
	}
	book := &refusalBook{sources: sources, anonymous: rate.NewLimiter(anonymousRate, anonymousBurst)}
	tick := time.NewTicker(summaryEvery)
	defer tick.Stop()
	for {
		select {
		case first := <-r.queue:
			r.record(ctx, book.admit(r.batch(first)))
		case <-tick.C:
			r.summarize(ctx, book)
		case <-ctx.Done():
			r.drain(context.WithoutCancel(ctx), book)
			return nil
		}
	}
}

func (r *Refusals) drain(ctx context.Context, book *refusalBook) {
	for {
		select {
		case first := <-r.queue:
			r.record(ctx, book.admit(r.batch(first)))
		default:
			r.summarize(ctx, book)
			return
		}
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

func (r *Refusals) record(ctx context.Context, batch []refusal) {
	if len(batch) == 0 {
		return
	}
	messages := make([]*message.Message, 0, len(batch))
	for _, b := range batch {
		msg, err := r.message(b)
		if err != nil {
			r.logger.ErrorContext(ctx, "refusal not recorded", slog.Any("error", err))
			continue
		}
		messages = append(messages, msg)
	}
	if err := r.publisher.Publish(activityStream(r.now()), messages...); err != nil {
		r.logger.ErrorContext(ctx, "refusals not recorded", slog.Int("count", len(messages)), slog.Any("error", err))
	}
}

func (r *Refusals) message(b refusal) (*message.Message, error) {
	stored, err := eventschema.All.Encode(b.event, r.vault)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make an event id: %w", err)
	}
	who, req := identity.PrincipalOf(b.ctx), identity.RequestOf(b.ctx)
	return eventlog.NewMessage(b.ctx, eventlog.Event{ID: id, Stored: stored, Meta: eventlog.Meta{
		At: b.at.UTC(), ActorUserID: who.UserID, ActorKind: string(who.Kind), CredentialID: who.CredentialID,
		RequestID: req.ID, IP: req.IP, CorrelationID: req.ID,
	}})
}

func (r *Refusals) summarize(ctx context.Context, book *refusalBook) {
	e, any := book.close(r.now())
	if !any {
		return
	}
	ctx = identity.WithRequest(identity.WithPrincipal(ctx, identity.Server()), identity.Request{})
	r.record(ctx, []refusal{{ctx: ctx, event: e, at: r.now()}})
}

// activityStream is where the facts of an hour go that belong to no aggregate.
func activityStream(at time.Time) string { return "activity-" + at.UTC().Format("20060102-15") }

// refusalBook says which refusals are recorded one by one, and counts the rest.
type refusalBook struct {
	sources   *simplelru.LRU[string, *rate.Limiter]
	anonymous *rate.Limiter
	from      time.Time
	byAddress map[string]int
	byCode    map[string]int
}

func (b *refusalBook) admit(batch []refusal) []refusal {
	var admitted []refusal
	for _, r := range batch {
		who, ip := identity.PrincipalOf(r.ctx), identity.RequestOf(r.ctx).IP
		source := who.UserID
		if who.Anonymous() {
			source = "ip " + ip
		}
		if b.limiter(source).AllowN(r.at, 1) && (!who.Anonymous() || b.anonymous.AllowN(r.at, 1)) {
			admitted = append(admitted, r)
			continue
		}
		b.count(ip, r.code, r.at)
	}
	return admitted
}

func (b *refusalBook) limiter(source string) *rate.Limiter {
	l, ok := b.sources.Get(source)
	if !ok {
		l = rate.NewLimiter(perSource, perSourceBurst)
		b.sources.Add(source, l)
	}
	return l
}

func (b *refusalBook) count(ip, code string, at time.Time) {
	if b.byAddress == nil {
		b.from, b.byAddress, b.byCode = at, map[string]int{}, map[string]int{}
	}
	if _, known := b.byAddress[ip]; !known && len(b.byAddress) >= summaryKeys {
		ip = elsewhere
	}
	b.byAddress[ip]++
	b.byCode[code]++
}

// close ends a summary's span; it reports false when there was nothing to count.
func (b *refusalBook) close(now time.Time) (eventschema.RefusalsSummarized, bool) {
	if b.byAddress == nil {
		return eventschema.RefusalsSummarized{}, false
	}
	e := eventschema.RefusalsSummarized{From: b.from.UTC(), To: now.UTC(), ByAddress: b.byAddress, ByCode: b.byCode}
	b.byAddress, b.byCode = nil, nil
	return e, true
}
