// Package eventschema is the wire contract of the log: the one place where an
// event's stored name, its version and its fields are written down.
//
// It imports nothing but the standard library, so that anything may import it.
package eventschema

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
)

// Event is a fact that a stream can hold.
type Event interface {
	// EventName is the name the log stores. It never changes once released.
	EventName() string
}

// Stored is an event as the log holds it.
type Stored struct {
	Name    string
	Version int
	Data    []byte
}

// ErrUnknownEvent says that the log holds an event, or a version of one, that
// this build cannot read. Whoever meets it stops: skipping would lose a fact.
var ErrUnknownEvent = errors.New("event is not in the catalogue")

type upcast func(json.RawMessage) (json.RawMessage, error)

type entry struct {
	version int
	passive bool
	goType  reflect.Type
	upcasts map[int]upcast
	sealed  []sealedField
	secret  [][]int
	decode  func([]byte) (Event, reflect.Value, error)
}

// Catalogue knows every event that this build can read and write. It is
// immutable and safe for concurrent use.
type Catalogue struct {
	byName map[string]entry
}

// Option adjusts one event's line in the catalogue.
type Option func(*entry)

// From says how version v of an event's data becomes version v+1. Sealed fields
// are still sealed when an upcast sees them.
func From[Old, New any](v int, up func(Old) New) Option {
	return func(e *entry) {
		e.upcasts[v] = func(raw json.RawMessage) (json.RawMessage, error) {
			var old Old
			if err := strictUnmarshal(raw, &old); err != nil {
				return nil, err
			}
			return marshal(up(old))
		}
	}
}

// Passive declares that no fold needs the event: it moves a stream's revision
// without being decoded, and it is no row of the audit trail.
func Passive() Option { return func(e *entry) { e.passive = true } }

// Declaration is one event's line; Declare makes it.
type Declaration struct {
	name  string
	entry entry
}

// Declare lists event type E at its current version.
func Declare[E Event](version int, opts ...Option) Declaration {
	var zero E
	e := entry{
		version: version,
		goType:  reflect.TypeFor[E](),
		upcasts: map[int]upcast{},
		sealed:  sealedFields(reflect.TypeFor[E]()),
		secret:  secretFields(reflect.TypeFor[E]()),
	}
	sealed := len(e.sealed) > 0
	e.decode = func(data []byte) (Event, reflect.Value, error) {
		ev := new(E)
		if err := strictUnmarshal(data, ev); err != nil {
			return nil, reflect.Value{}, err
		}
		if !sealed {
			return *ev, reflect.Value{}, nil
		}
		return nil, reflect.ValueOf(ev).Elem(), nil
	}
	for _, o := range opts {
		o(&e)
	}
	return Declaration{name: zero.EventName(), entry: e}
}

// NewCatalogue panics on a name declared twice or a version without its upcast:
// both are mistakes in the source, and every test would trip over them.
func NewCatalogue(decls ...Declaration) *Catalogue {
	c := &Catalogue{byName: map[string]entry{}}
	for _, d := range decls {
		if _, dup := c.byName[d.name]; dup {
			panic("eventschema: declared twice: " + d.name)
		}
		for v := 1; v < d.entry.version; v++ {
			if d.entry.upcasts[v] == nil {
				panic(fmt.Sprintf("eventschema: %s has no upcast from version %d", d.name, v))
			}
		}
		c.byName[d.name] = d.entry
	}
	return c
}

// Names lists every event's stored name, in order.
func (c *Catalogue) Names() []string { return slices.Sorted(maps.Keys(c.byName)) }

// Version is the version that this build writes, 0 for an unknown name.
func (c *Catalogue) Version(name string) int { return c.byName[name].version }

// Passive reports whether no fold needs the event called name.
func (c *Catalogue) Passive(name string) bool { return c.byName[name].passive }

// Hash identifies what the catalogue can read: builds that share a log must
// agree on it.
func (c *Catalogue) Hash() string {
	h := sha256.New()
	for _, name := range c.Names() {
		h.Write(fmt.Appendf(nil, "%s/%d\n", name, c.byName[name].version))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Encode writes ev at its current version, with its sealed fields sealed by s.
// It refuses what a projector could not store; see Storable.
func (c *Catalogue) Encode(ev Event, s Sealer) (Stored, error) {
	e, ok := c.byName[ev.EventName()]
	if !ok || e.goType != reflect.TypeOf(ev) {
		return Stored{}, fmt.Errorf("encode %q (%T): %w", ev.EventName(), ev, ErrUnknownEvent)
	}
	plain, err := marshal(ev)
	if err != nil {
		return Stored{}, fmt.Errorf("encode %q: %w", ev.EventName(), err)
	}
	if err := Storable(plain); err != nil {
		return Stored{}, fmt.Errorf("encode %q: %w", ev.EventName(), err)
	}
	data := plain
	if len(e.sealed) > 0 {
		if data, err = sealed(ev, e.sealed, s); err != nil {
			return Stored{}, fmt.Errorf("seal %q: %w", ev.EventName(), err)
		}
	}
	return Stored{Name: ev.EventName(), Version: e.version, Data: data}, nil
}

// Decode reads a stored event of any version it ever had. A field whose key was
// destroyed reads as "[erased]", or as what it declares to read as then.
func (c *Catalogue) Decode(st Stored, s Sealer) (Event, error) {
	e, ok := c.byName[st.Name]
	if !ok {
		return nil, fmt.Errorf("decode %q: %w", st.Name, ErrUnknownEvent)
	}
	if st.Version < 1 || st.Version > e.version {
		return nil, fmt.Errorf("decode %q version %d, this build knows 1 to %d: %w", st.Name, st.Version, e.version, ErrUnknownEvent)
	}
	raw := json.RawMessage(st.Data)
	for v := st.Version; v < e.version; v++ {
		var err error
		if raw, err = e.upcasts[v](raw); err != nil {
			return nil, fmt.Errorf("upcast %q from version %d: %w", st.Name, v, err)
		}
	}
	ev, val, err := e.decode(raw)
	if err != nil {
		return nil, fmt.Errorf("decode %q: %w", st.Name, err)
	}
	if ev != nil {
		return ev, nil
	}
	if err := open(val, e.sealed, s); err != nil {
		return nil, fmt.Errorf("open %q: %w", st.Name, err)
	}
	return val.Interface().(Event), nil
}

// marshal leaves <, > and & alone: free JSON stays what the client sent.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// strictUnmarshal refuses fields that v does not have: an event that says more
// than this build understands must not be half read.
func strictUnmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes after the event")
	}
	return nil
}
