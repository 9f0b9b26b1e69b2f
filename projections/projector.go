// Package projections keeps the read models in Postgres up to date with the log.
//
// A Projector owns some tables and says what each event does to them. An Engine
// follows the log once for all projectors and moves their rows and their
// checkpoints together, so that every event counts exactly once whatever
// crashes. An Awaiter tells when a write has become visible. Fsck proves that
// the rows are what the log says, and Rebuild makes them so.
package projections

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Projector is the writing side of one read model. It is immutable.
type Projector struct {
	// Name, such as messages_v1, keys the checkpoint and starts the name of every
	// table. Another version is another read model, built from the log's start.
	Name string
	// Schema is the DDL of the tables and their indexes, which this projector and
	// no other writes.
	Schema string

	on map[string]Handler
}

type apply func(*Batch, eventlog.Record, eventschema.Event)

// Handler is what one event does to a read model.
type Handler struct {
	event string
	apply apply
	blind bool // it looks at the record alone: the event need not be decoded
}

// On makes the Handler of event E. A handler only queues statements: it reads
// nothing, asks no clock and draws no random number, so that the same log gives
// the same rows for ever. It must not change what the event refers to: other
// projectors are given the same.
func On[E eventschema.Event](handle func(b *Batch, r eventlog.Record, e E)) Handler {
	var zero E
	return Handler{event: zero.EventName(), apply: func(b *Batch, r eventlog.Record, e eventschema.Event) {
		handle(b, r, e.(E))
	}}
}

// New makes a Projector. It panics on mistakes in the source: a name without a
// version, tables that are not named after the projector, SQL whose result is not
// the log's alone, or two handlers for one event.
func New(name, schema string, handlers ...Handler) *Projector {
	p := &Projector{Name: name, Schema: schema, on: map[string]Handler{}}
	if err := p.check(); err != nil {
		panic(fmt.Sprintf("projections: %s: %v", name, err))
	}
	for _, h := range handlers {
		if p.Handles(h.event) {
			panic(fmt.Sprintf("projections: %s handles %s twice", name, h.event))
		}
		p.on[h.event] = h
	}
	return p
}

// Handles reports whether the projector does anything with the event.
func (p *Projector) Handles(event string) bool { return p.on[event].apply != nil }

// Statements is the SQL that the projector queues for one event, for tests.
func (p *Projector) Statements(r eventlog.Record, e eventschema.Event) []string {
	b := &Batch{owner: p, record: &r}
	if h := p.on[e.EventName()]; h.apply != nil {
		h.apply(b, r, e)
	}
	texts := make([]string, len(b.statements))
	for i, s := range b.statements {
		texts[i] = s.sql
	}
	return texts
}

// Events lists the events that the projector handles, in order.
func (p *Projector) Events() []string { return slices.Sorted(maps.Keys(p.on)) }

var (
	// One version and nothing after it: the tables of messages_v1 can never be
	// taken for those of messages_v1_drafts_v1.
	nameForm    = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*_v[1-9][0-9]*$`)
	nameVersion = regexp.MustCompile(`_v[0-9]+(_|$)`)
	created     = regexp.MustCompile(`(?i)\bcreate\s+(?:unlogged\s+|unique\s+)?(\w+)\s+(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?"?(\w+)`)
)

// maxName leaves room for a suffix within the 63 bytes of a Postgres name.
const maxName = 40

func (p *Projector) check() error {
	if len(p.Name) > maxName || !nameForm.MatchString(p.Name) || len(nameVersion.FindAllString(p.Name, -1)) != 1 {
		return fmt.Errorf("the name is not words and one version, as in messages_v1, of at most %d bytes", maxName)
	}
	if err := Deterministic(p.Schema); err != nil {
		return err
	}
	tables := 0
	for _, c := range created.FindAllStringSubmatch(withoutComments(p.Schema), -1) {
		switch kind, table := strings.ToLower(c[1]), c[2]; {
		case kind == "index":
		case kind != "table":
			return fmt.Errorf("the schema creates a %s: only tables and indexes can be dropped and built again", kind)
		case !p.owns(table):
			return fmt.Errorf("the table %s does not start with the projector's name", table)
		default:
			tables++
		}
	}
	if tables == 0 {
		return errors.New("the schema creates no table")
	}
	return nil
}

// owns reports whether a table belongs to p by its name.
func (p *Projector) owns(table string) bool {
	return table == p.Name || strings.HasPrefix(table, p.Name+"_")
}

// hash identifies the tables' shape; comments and spacing do not matter.
func (p *Projector) hash() string {
	text := strings.Join(strings.Fields(withoutComments(p.Schema)), " ")
	sum := sha256.Sum256([]byte(aroundPunctuation.ReplaceAllString(text, "$1")))
	return hex.EncodeToString(sum[:16])
}

var aroundPunctuation = regexp.MustCompile(` ?([(),;]) ?`)

var comment = regexp.MustCompile(`--[^\n]*`)

func withoutComments(sql string) string { return comment.ReplaceAllString(sql, "") }

// fickle is what must not stand in the SQL of a projector: the same log would
// not give the same rows again, or, with jsonb, not the bytes that were sent.
var fickle = regexp.MustCompile(`(?i)\b(?:(?:now|(?:clock|statement|transaction)_timestamp|timeofday|random\w*|` +
	`gen_random_uuid|uuid_generate_\w+|nextval|txid_current|pg_current_xact_id)\s*\(|` +
	`(?:current_timestamp|current_date|current_time|localtime|localtimestamp|current_user|session_user|` +
	`(?:small|big)?serial|generated\s+(?:always|by\s+default)\s+as\s+identity|jsonb)\b)`)

// Deterministic reports what in sql would make its effect depend on more than
// the log.
func Deterministic(sql string) error {
	if found := fickle.FindString(withoutComments(sql)); found != "" {
		return fmt.Errorf("%q in a read model: a rebuild would not give equal rows", found)
	}
	return nil
}
