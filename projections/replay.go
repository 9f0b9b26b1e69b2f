package projections

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

const (
	// scratchPage is how many events one scratch transaction takes.
	scratchPage = 500
	// scratchAhead is how many pages are read, and how many transactions are made
	// ready, before their turn: none of the three waits because another is uneven.
	scratchAhead = 3
)

// replay moves each member to its position in to, which every member has. The
// log is read, its events are made statements, and Postgres runs them, all three
// at the same time.
func (s *scratch) replay(ctx context.Context, to map[string]eventlog.Position) error {
	from, some := s.start(to)
	if !some {
		return nil
	}
	pages, transactions := make(chan page, scratchAhead), make(chan []statement, scratchAhead)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		defer close(pages)
		return s.read(ctx, from, furthest(to), pages)
	})
	work.Go(func() error {
		defer close(transactions)
		for p := range pages {
			if err := s.apply(ctx, p.records, to, transactions); err != nil {
				return err
			}
			s.reach(p.next, to)
		}
		return nil
	})
	work.Go(func() error { return s.send(ctx, transactions) })
	if err := work.Wait(); err != nil {
		return err
	}
	if m := s.short(to); m != nil {
		return fmt.Errorf("%s is at %s: %w", m.projector.Name, to[m.projector.Name], ErrAheadOfLog)
	}
	return nil
}

// start is the earliest position of the members that are not there yet.
func (s *scratch) start(to map[string]eventlog.Position) (from eventlog.Position, some bool) {
	for _, m := range s.members {
		if at := s.at[m]; at.Less(to[m.projector.Name]) && (!some || at.Less(from)) {
			from, some = at, true
		}
	}
	return from, some
}

// short is a member that the log was too short for.
func (s *scratch) short(to map[string]eventlog.Position) *member {
	for _, m := range s.members {
		if s.at[m].Less(to[m.projector.Name]) {
			return m
		}
	}
	return nil
}

func furthest(to map[string]eventlog.Position) (last eventlog.Position) {
	for _, at := range to {
		if last.Less(at) {
			last = at
		}
	}
	return last
}

// page is a part of the log, and where the next one begins.
type page struct {
	records []eventlog.Record
	next    eventlog.Position
}

// read hands over the log's pages after from, up to the one that has last in it,
// or the log's end.
func (s *scratch) read(ctx context.Context, from, last eventlog.Position, pages chan<- page) error {
	for more := true; more && from.Less(last); {
		var p page
		var err error
		if p.records, p.next, more, err = s.engine.options.Log.ReadAll(ctx, from, scratchPage); err != nil {
			return fmt.Errorf("read the log after %s: %w", from, err)
		}
		select {
		case pages <- p:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		from = p.next
	}
	return nil
}

// reach notes how far a page goes: neither its end nor an aim need be an event.
func (s *scratch) reach(next eventlog.Position, to map[string]eventlog.Position) {
	for _, m := range s.members {
		reached := next
		if aim := to[m.projector.Name]; aim.Less(reached) {
			reached = aim
		}
		if s.at[m].Less(reached) {
			s.at[m] = reached
		}
	}
}

// apply gives a page to every member that wants all of it at once, and to the
// others as far as they go.
func (s *scratch) apply(
	ctx context.Context, page []eventlog.Record, to map[string]eventlog.Position, transactions chan<- []statement,
) error {
	var whole []*member
	for _, m := range s.members {
		part := page
		for len(part) > 0 && !s.at[m].Less(part[0].Position) {
			part = part[1:]
		}
		for len(part) > 0 && to[m.projector.Name].Less(part[len(part)-1].Position) {
			part = part[:len(part)-1]
		}
		switch len(part) {
		case 0:
		case len(page):
			whole = append(whole, m)
		default:
			if err := s.queue(ctx, part, transactions, m); err != nil {
				return err
			}
		}
	}
	return s.queue(ctx, page, transactions, whole...)
}

// queue makes a transaction of the members' statements for the records.
func (s *scratch) queue(
	ctx context.Context, records []eventlog.Record, transactions chan<- []statement, members ...*member,
) error {
	statements, err := s.engine.codec.queue(newRoster(members...), records)
	if err != nil || len(statements) == 0 {
		return err
	}
	select {
	case transactions <- statements:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send has Postgres run transactions, one after the other.
func (s *scratch) send(ctx context.Context, transactions <-chan []statement) error {
	for statements := range transactions {
		if failed, err := send(ctx, s.conn, nil, statements); err != nil {
			return classify(err, s.conn.IsClosed(), failed)
		}
	}
	return nil
}
