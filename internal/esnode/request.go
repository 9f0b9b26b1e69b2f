package esnode

import (
	"fmt"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const (
	typeKey        = "type"
	contentTypeKey = "content-type"
	createdKey     = "created"
	jsonContent    = "application/json"
	binaryContent  = "application/octet-stream"
)

// defaultWindow is the search window of a filter that names none.
const defaultWindow = 32

type named interface {
	GetStreamIdentifier() *shared.StreamIdentifier
}

func streamName(o named) string { return string(o.GetStreamIdentifier().GetStreamName()) }

func malformed(format string, args ...any) error {
	return &engine.InvalidError{Reason: fmt.Sprintf(format, args...)}
}

// expectedRevision translates the one-of of four messages, whose members are
// the same and whose types are not.
func expectedRevision(option any) (engine.Expected, error) {
	switch o := option.(type) {
	case *streams.AppendReq_Options_Any, *streams.BatchAppendReq_Options_Any,
		*streams.DeleteReq_Options_Any, *streams.TombstoneReq_Options_Any:
		return engine.Any, nil
	case *streams.AppendReq_Options_NoStream, *streams.BatchAppendReq_Options_NoStream,
		*streams.DeleteReq_Options_NoStream, *streams.TombstoneReq_Options_NoStream:
		return engine.NoStream, nil
	case *streams.AppendReq_Options_StreamExists, *streams.BatchAppendReq_Options_StreamExists,
		*streams.DeleteReq_Options_StreamExists, *streams.TombstoneReq_Options_StreamExists:
		return engine.StreamExists, nil
	case *streams.AppendReq_Options_Revision:
		return exactRevision(o.Revision)
	case *streams.BatchAppendReq_Options_StreamPosition:
		return exactRevision(o.StreamPosition)
	case *streams.DeleteReq_Options_Revision:
		return exactRevision(o.Revision)
	case *streams.TombstoneReq_Options_Revision:
		return exactRevision(o.Revision)
	default:
		return 0, malformed("the expected revision is missing")
	}
}

func exactRevision(revision uint64) (engine.Expected, error) {
	if revision > math.MaxInt64 {
		return 0, malformed("revision %d is out of range", revision)
	}
	return engine.Expected(revision), nil
}

// appendRequest gathers the messages of one append. It holds no more than the
// limit of an append, whatever the client sends.
type appendRequest struct {
	append  engine.Append
	options bool
	limit   int
	size    int
	err     error // the first
}

func (a *appendRequest) add(m *streams.AppendReq) {
	if a.err != nil {
		return
	}
	switch c := m.GetContent().(type) {
	case *streams.AppendReq_Options_:
		a.err = a.setOptions(c.Options)
	case *streams.AppendReq_ProposedMessage_:
		a.err = a.propose(c.ProposedMessage)
	default:
		a.err = malformed("a message of the append is empty")
	}
	if a.err != nil {
		a.append.Events = nil
	}
}

func (a *appendRequest) setOptions(o *streams.AppendReq_Options) (err error) {
	if a.options {
		return malformed("the append's options come twice")
	}
	a.options = true
	a.append.Stream = streamName(o)
	a.append.Expected, err = expectedRevision(o.GetExpectedStreamRevision())
	return err
}

// proposal is an event to append, in a message of either method's own type.
type proposal interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}

func (a *appendRequest) propose(m proposal) error {
	if !a.options {
		return malformed("an event comes before the append's options")
	}
	event, err := proposedEvent(m)
	if err != nil {
		return err
	}
	if a.size += engine.EventBytes(&event); a.size > a.limit {
		return &engine.TooLargeError{Max: a.limit}
	}
	a.append.Events = append(a.append.Events, event)
	return nil
}

func (a *appendRequest) finish() (engine.Append, error) {
	if a.err == nil && !a.options {
		a.err = malformed("the append has no options")
	}
	return a.append, a.err
}

func proposedEvent(m proposal) (storage.NewEvent, error) {
	id, err := parseID(m.GetId())
	if err != nil {
		return storage.NewEvent{}, err
	}
	eventType, hasType := m.GetMetadata()[typeKey]
	contentType, hasContentType := m.GetMetadata()[contentTypeKey]
	if !hasType || !hasContentType {
		return storage.NewEvent{}, errMissingProperty
	}
	return storage.NewEvent{
		ID:       id,
		Type:     eventType,
		JSON:     contentType == jsonContent,
		Data:     m.GetData(),
		Metadata: m.GetCustomMetadata(),
	}, nil
}

func parseID(id *shared.UUID) ([16]byte, error) {
	switch v := id.GetValue().(type) {
	case *shared.UUID_Structured_:
		return idOf(v.Structured), nil
	case *shared.UUID_String_:
		parsed, err := uuid.Parse(v.String_)
		if err != nil {
			return [16]byte{}, malformed("an event's id is not a UUID: %v", err)
		}
		return parsed, nil
	default:
		return [16]byte{}, malformed("an event has no id")
	}
}

// readRequest is a request to read or to subscribe, of a stream or of the log.
type readRequest struct {
	ofStream  bool
	subscribe bool
	textIDs   bool
	stream    engine.StreamRead
	all       engine.AllRead
	// start is where a subscription to a stream begins.
	start           engine.Start[uint64]
	allStart        engine.Start[engine.Position]
	checkpointEvery uint64
}

func (r readRequest) subscribeStream() engine.StreamSubscription {
	return engine.StreamSubscription{Stream: r.stream.Stream, Start: r.start, ResolveLinks: r.stream.ResolveLinks}
}

func (r readRequest) subscribeAll() engine.AllSubscription {
	return engine.AllSubscription{
		Start: r.allStart, ResolveLinks: r.all.ResolveLinks, Filter: r.all.Filter, CheckpointEvery: r.checkpointEvery,
	}
}

func parseRead(o *streams.ReadReq_Options) (readRequest, error) {
	if o == nil {
		return readRequest{}, malformed("the options are missing")
	}
	var r readRequest
	for _, parse := range []func(*streams.ReadReq_Options) error{
		r.parseSource, r.parseCount, r.parseDirection, r.parseFilter, r.parseIDForm,
	} {
		if err := parse(o); err != nil {
			return readRequest{}, err
		}
	}
	r.stream.ResolveLinks, r.all.ResolveLinks = o.GetResolveLinks(), o.GetResolveLinks()
	return r, nil
}

func (r *readRequest) parseSource(o *streams.ReadReq_Options) error {
	switch s := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		r.ofStream = true
		r.stream.Stream = streamName(s.Stream)
		return r.parseRevision(s.Stream)
	case *streams.ReadReq_Options_All:
		return r.parsePosition(s.All)
	default:
		return malformed("neither a stream nor the log is asked for")
	}
}

func (r *readRequest) parseRevision(o *streams.ReadReq_Options_StreamOptions) error {
	switch v := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		r.stream.From = v.Revision
		r.start.After = &v.Revision
	case *streams.ReadReq_Options_StreamOptions_Start:
	case *streams.ReadReq_Options_StreamOptions_End:
		r.stream.From = math.MaxUint64
		r.start.End = true
	default:
		return malformed("the revision to start from is missing")
	}
	return nil
}

func (r *readRequest) parsePosition(o *streams.ReadReq_Options_AllOptions) error {
	switch v := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Position:
		r.all.From = engine.Position{Commit: v.Position.GetCommitPosition(), Prepare: v.Position.GetPreparePosition()}
		r.allStart.After = &r.all.From
	case *streams.ReadReq_Options_AllOptions_Start:
	case *streams.ReadReq_Options_AllOptions_End:
		r.all.FromEnd = true
		r.allStart.End = true
	default:
		return malformed("the position to start from is missing")
	}
	return nil
}

func (r *readRequest) parseCount(o *streams.ReadReq_Options) error {
	switch c := o.GetCountOption().(type) {
	case *streams.ReadReq_Options_Count:
		r.stream.Count, r.all.Count = c.Count, c.Count
	case *streams.ReadReq_Options_Subscription:
		r.subscribe = true
	default:
		return malformed("neither a count nor a subscription is asked for")
	}
	return nil
}

func (r *readRequest) parseDirection(o *streams.ReadReq_Options) error {
	switch o.GetReadDirection() {
	case streams.ReadReq_Options_Forwards:
		return nil
	case streams.ReadReq_Options_Backwards:
		if r.subscribe {
			return malformed("a subscription cannot go backwards")
		}
		r.stream.Backwards, r.all.Backwards = true, true
		return nil
	default:
		return malformed("direction %d is not known", o.GetReadDirection())
	}
}

func (r *readRequest) parseFilter(o *streams.ReadReq_Options) (err error) {
	switch f := o.GetFilterOption().(type) {
	case *streams.ReadReq_Options_NoFilter:
		return nil
	case *streams.ReadReq_Options_Filter:
		if r.ofStream {
			return malformed("a stream cannot be filtered")
		}
		if r.all.Filter, err = parseFilter(f.Filter); err != nil {
			return err
		}
		return r.parseCheckpoints(f.Filter)
	default:
		return malformed("neither a filter nor its absence is asked for")
	}
}

func parseFilter(o *streams.ReadReq_Options_FilterOptions) (*engine.Filter, error) {
	switch f := o.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_EventType:
		return engine.NewFilter(engine.FilterOptions{
			Regex: f.EventType.GetRegex(), Prefixes: f.EventType.GetPrefix(),
		})
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		return engine.NewFilter(engine.FilterOptions{
			ByStream: true, Regex: f.StreamIdentifier.GetRegex(), Prefixes: f.StreamIdentifier.GetPrefix(),
		})
	default:
		return nil, malformed("the filter says neither types nor streams")
	}
}

func (r *readRequest) parseCheckpoints(o *streams.ReadReq_Options_FilterOptions) error {
	if !r.subscribe {
		return nil
	}
	var window uint32
	switch w := o.GetWindow().(type) {
	case *streams.ReadReq_Options_FilterOptions_Max:
		window = w.Max
	case *streams.ReadReq_Options_FilterOptions_Count:
		window = defaultWindow
	default:
		return malformed("the filter's window is missing")
	}
	r.checkpointEvery = uint64(window) * uint64(o.GetCheckpointIntervalMultiplier())
	if r.checkpointEvery == 0 {
		return malformed("the filter's window and its checkpoint interval must be above zero")
	}
	return nil
}

func (r *readRequest) parseIDForm(o *streams.ReadReq_Options) error {
	switch o.GetUuidOption().GetContent().(type) {
	case *streams.ReadReq_Options_UUIDOption_Structured:
	case *streams.ReadReq_Options_UUIDOption_String_:
		r.textIDs = true
	default:
		return malformed("the form of event ids is missing")
	}
	return nil
}
