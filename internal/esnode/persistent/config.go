package persistent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const (
	configStream  = "$persistentSubscriptionConfig"
	configType    = "$PersistentConfig"
	configVersion = "2"
)

// config is what the last event of the configuration's stream says.
type config struct {
	Version string    `json:"version"`
	Updated time.Time `json:"updated"`
	Entries []entry   `json:"entries"`
}

// entry is a group's settings by the names that EventStoreDB stores them under.
// The filter, and where the end was, are in a form of this package's own.
type entry struct {
	Stream                string                `json:"stream"`
	Group                 string                `json:"group"`
	Filter                *engine.FilterOptions `json:"filter,omitempty"`
	ResolveLinkTos        bool                  `json:"resolveLinkTos"`
	ExtraStatistics       bool                  `json:"extraStatistics"`
	MessageTimeout        int64                 `json:"messageTimeout"` // milliseconds
	StartPosition         string                `json:"startPosition"`
	LiveBufferSize        int                   `json:"liveBufferSize"`
	HistoryBufferSize     int                   `json:"historyBufferSize"`
	MaxRetryCount         int                   `json:"maxRetryCount"`
	ReadBatchSize         int                   `json:"readBatchSize"`
	CheckPointAfter       int64                 `json:"checkPointAfter"` // milliseconds
	MinCheckPointCount    int                   `json:"minCheckPointCount"`
	MaxCheckPointCount    int                   `json:"maxCheckPointCount"`
	MaxSubscriberCount    int                   `json:"maxSubscriberCount"`
	NamedConsumerStrategy string                `json:"namedConsumerStrategy"`
	// StartAfter is where the end was when a group was made that begins there:
	// so a restart before its first checkpoint loses nothing.
	StartAfter string `json:"startAfter,omitempty"`
}

// definition is a group as it is defined.
type definition struct {
	key      Key
	settings Settings
	// after is the place behind which a group without a checkpoint begins, if it
	// is not at the start.
	after *place
}

// place is how far a group got: a revision of its stream, or a position.
type place struct {
	revision uint64
	position engine.Position
}

func (p place) text(stream string) string {
	if stream != All {
		return strconv.FormatUint(p.revision, 10)
	}
	return fmt.Sprintf("C:%d/P:%d", p.position.Commit, p.position.Prepare)
}

func parsePlace(stream, text string) (place, error) {
	if stream != All {
		n, err := strconv.ParseUint(text, 10, 64)
		return place{revision: n}, err
	}
	commit, prepare, ok := strings.Cut(strings.TrimPrefix(text, "C:"), "/P:")
	c, err := strconv.ParseUint(commit, 10, 64)
	p, prepareErr := strconv.ParseUint(prepare, 10, 64)
	if !ok {
		err = fmt.Errorf("%q is not a position", text)
	}
	return place{position: engine.Position{Commit: c, Prepare: p}}, errors.Join(err, prepareErr)
}

// before is the place right before a start, and nil if that is the first event.
func (s Start) before(stream string) *place {
	switch {
	case s.End:
		return nil // is known when the group is made
	case stream != All && s.Revision > 0:
		return &place{revision: s.Revision - 1}
	case stream == All && s.Position.Prepare > 0:
		return &place{position: engine.Position{Commit: s.Position.Commit, Prepare: s.Position.Prepare - 1}}
	case stream == All && s.Position.Commit > 0:
		return &place{position: engine.Position{Commit: s.Position.Commit - 1, Prepare: 1<<64 - 1}}
	default:
		return nil
	}
}

// text is the start as EventStoreDB shows it.
func (s Start) text(stream string) string {
	if s.End && stream != All {
		return "-1"
	}
	if s.End {
		return "C:-1/P:-1"
	}
	return place{revision: s.Revision, position: s.Position}.text(stream)
}

func parseStart(stream, text string) (Start, error) {
	if text == "-1" || text == "C:-1/P:-1" {
		return Start{End: true}, nil
	}
	p, err := parsePlace(stream, text)
	return Start{Revision: p.revision, Position: p.position}, err
}

func (d definition) entry() entry {
	s := d.settings
	e := entry{
		Stream: d.key.Stream, Group: d.key.Group, Filter: s.Filter, ResolveLinkTos: s.ResolveLinks,
		ExtraStatistics: s.ExtraStatistics, MessageTimeout: s.MessageTimeout.Milliseconds(),
		StartPosition: s.Start.text(d.key.Stream), LiveBufferSize: s.LiveBufferSize, HistoryBufferSize: s.HistoryBufferSize,
		MaxRetryCount: s.MaxRetryCount, ReadBatchSize: s.ReadBatchSize, CheckPointAfter: s.CheckpointAfter.Milliseconds(),
		MinCheckPointCount: s.MinCheckpointCount, MaxCheckPointCount: s.MaxCheckpointCount,
		MaxSubscriberCount: s.MaxSubscriberCount, NamedConsumerStrategy: s.Strategy,
	}
	if d.after != nil {
		e.StartAfter = d.after.text(d.key.Stream)
	}
	return e
}

func (e entry) definition() (definition, error) {
	d := definition{key: Key{e.Stream, e.Group}, settings: Settings{
		ResolveLinks: e.ResolveLinkTos, Filter: e.Filter, ExtraStatistics: e.ExtraStatistics,
		MaxRetryCount: e.MaxRetryCount, MessageTimeout: time.Duration(e.MessageTimeout) * time.Millisecond,
		MinCheckpointCount: e.MinCheckPointCount, MaxCheckpointCount: e.MaxCheckPointCount,
		CheckpointAfter:    time.Duration(e.CheckPointAfter) * time.Millisecond,
		MaxSubscriberCount: e.MaxSubscriberCount, LiveBufferSize: e.LiveBufferSize,
		ReadBatchSize: e.ReadBatchSize, HistoryBufferSize: e.HistoryBufferSize, Strategy: e.NamedConsumerStrategy,
	}}
	start, err := parseStart(e.Stream, e.StartPosition)
	if err != nil {
		return definition{}, fmt.Errorf("read where %s begins: %w", d.key, err)
	}
	d.settings.Start = start
	d.after = start.before(e.Stream)
	if e.StartAfter != "" {
		after, err := parsePlace(e.Stream, e.StartAfter)
		if err != nil {
			return definition{}, fmt.Errorf("read where %s begins: %w", d.key, err)
		}
		d.after = &after
	}
	return d, d.settings.check(d.key)
}

func loadConfig(ctx context.Context, e *engine.Engine) ([]definition, error) {
	last, err := lastEvent(ctx, e, configStream)
	if err != nil || last == nil {
		return nil, err
	}
	var c config
	if err := json.Unmarshal(last.Data, &c); err != nil {
		return nil, fmt.Errorf("read the persistent subscriptions: %w", err)
	}
	var out []definition
	for _, stored := range c.Entries {
		d, err := stored.definition()
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func saveConfig(ctx context.Context, e *engine.Engine, definitions []definition) error {
	c := config{Version: configVersion, Updated: time.Now().UTC(), Entries: []entry{}}
	for _, d := range definitions {
		c.Entries = append(c.Entries, d.entry())
	}
	data, err := json.Marshal(c)
	if err == nil {
		_, err = appendEvent(ctx, e, configStream, storage.NewEvent{Type: configType, JSON: true, Data: data})
	}
	if err != nil {
		return fmt.Errorf("save the persistent subscriptions: %w", err)
	}
	return nil
}

// appendEvent appends an event of the server's own, and gives its revision.
func appendEvent(ctx context.Context, e *engine.Engine, stream string, event storage.NewEvent) (uint64, error) {
	event.ID = uuid.New()
	r, err := e.Append(ctx, engine.Append{Stream: stream, Expected: engine.Any, Events: []storage.NewEvent{event}})
	return uint64(r.Revision), err
}

// lastEvent is a stream's last event, and nil if it shows none.
func lastEvent(ctx context.Context, e *engine.Engine, stream string) (*storage.Event, error) {
	return oneEvent(ctx, e, engine.StreamRead{Stream: stream, From: 1<<64 - 1, Backwards: true, Count: 1})
}

func oneEvent(ctx context.Context, e *engine.Engine, r engine.StreamRead) (*storage.Event, error) {
	for got, err := range e.ReadStream(ctx, r) {
		if errors.Is(err, engine.ErrStreamNotFound) {
			return nil, nil //nolint:nilnil // nothing is an answer here
		}
		return got.Event, err
	}
	return nil, nil //nolint:nilnil // nothing is an answer here
}
