package projections

import (
	"fmt"
	"slices"
	"strings"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Batch collects the statements of one transaction. It is used by one handler at
// a time and only while that handler runs.
type Batch struct {
	statements []statement
	last       map[*Projector]int // of statements, by owner
	owner      *Projector
	record     *eventlog.Record
	refused    error
}

type statement struct {
	sql    string
	args   []any
	owner  *Projector
	record *eventlog.Record // nil when it is not one record's alone
	table  *Table           // that it adds rows to, if Insert made it
}

// Exec queues a statement. It runs after every statement queued before it and in
// the same transaction as the checkpoint; whatever it returns is not read. The
// text should be a constant: each one is prepared once per connection.
func (b *Batch) Exec(sql string, args ...any) {
	b.queue(statement{sql: sql, args: args, owner: b.owner, record: b.record})
}

// Fail says that the event cannot be projected. Its projector stops there.
func (b *Batch) Fail(err error) {
	if b.refused == nil {
		b.refused = err
	}
}

// failure is a projector, or every projector of a roster when owner is nil, that
// cannot get past a record.
type failure struct {
	owner  *Projector
	record *eventlog.Record
	err    error
}

func (f *failure) Error() string {
	who := "every projector"
	if f.owner != nil {
		who = "projector " + f.owner.Name
	}
	if f.record == nil {
		return who + ": " + f.err.Error()
	}
	return fmt.Sprintf("%s at %s (%s, %s revision %d): %v",
		who, f.record.Position, f.record.Stored.Name, f.record.Stream, f.record.Revision, f.err)
}

func (f *failure) Unwrap() error { return f.err }

// codec turns records into events.
type codec struct {
	catalogue *eventschema.Catalogue
	sealer    eventschema.Sealer
}

// unknown reports whether nobody can tell what the record means. The server's
// own events mean nothing to any projector.
func (c codec) unknown(r *eventlog.Record) bool {
	return c.catalogue.Version(r.Stored.Name) == 0 && !strings.HasPrefix(r.Stored.Name, "$")
}

func unknownEvent(r *eventlog.Record) *failure {
	return &failure{record: r, err: fmt.Errorf("%q: %w", r.Stored.Name, eventschema.ErrUnknownEvent)}
}

// queue asks the roster's handlers for their statements, record by record. Each
// record is decoded once, and only if somebody handles it.
func (c codec) queue(to *roster, records []eventlog.Record) ([]statement, error) {
	b := &Batch{statements: make([]statement, 0, len(records)+8)}
	for i := range records {
		r := &records[i]
		if c.unknown(r) && !to.everySkips(r.Position) {
			return nil, unknownEvent(r)
		}
		handlers := to.on[r.Stored.Name]
		if len(handlers) == 0 {
			continue
		}
		b.record = r
		if err := c.handle(b, handlers); err != nil {
			return nil, err
		}
	}
	return b.statements, nil
}

func (c codec) handle(b *Batch, handlers []rosterHandler) error {
	var event eventschema.Event
	for _, h := range handlers {
		if h.member.skips[b.record.Position] {
			continue
		}
		b.owner = h.member.projector
		if event == nil && !h.blind {
			var err error
			if event, err = c.catalogue.Decode(b.record.Stored, c.sealer); err != nil {
				return &failure{owner: b.owner, record: b.record, err: err}
			}
		}
		if err := h.call(b, event); err != nil {
			return &failure{owner: b.owner, record: b.record, err: err}
		}
	}
	return nil
}

// call turns a handler's panic into its projector's failure: the others go on.
func (h rosterHandler) call(b *Batch, e eventschema.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v", p)
		}
	}()
	b.refused = nil
	h.apply(b, *b.record, e)
	return b.refused
}

// member is a projector as the engine moves it.
type member struct {
	projector *Projector
	// skips are the positions that an operator told the projector to leave out.
	skips map[eventlog.Position]bool
}

// roster is a set of members that move together. It is immutable.
type roster struct {
	members []*member
	names   []string
	on      map[string][]rosterHandler
}

type rosterHandler struct {
	Handler

	member *member
}

func newRoster(members ...*member) *roster {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b *member) int { return strings.Compare(a.projector.Name, b.projector.Name) })
	r := &roster{members: members, on: map[string][]rosterHandler{}}
	for _, m := range members {
		r.names = append(r.names, m.projector.Name)
		for event, h := range m.projector.on {
			r.on[event] = append(r.on[event], rosterHandler{h, m})
		}
	}
	return r
}

func (r *roster) everySkips(at eventlog.Position) bool {
	return !slices.ContainsFunc(r.members, func(m *member) bool { return !m.skips[at] })
}
