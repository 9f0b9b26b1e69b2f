package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/g4fagent/g4fagent/internal/esnode/conformance"
)

// client is EventStore-Client-Go in the suite's words.
type client struct{ *esdb.Client }

func connect(t testing.TB, config *esdb.Configuration) conformance.Client {
	t.Helper()
	config.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return client{c}
}

func (c client) Append(ctx context.Context, stream string, expected conformance.Expected, events ...conformance.Event) (conformance.Receipt, error) {
	var data []esdb.EventData
	for _, e := range events {
		content := esdb.ContentTypeBinary
		if e.JSON {
			content = esdb.ContentTypeJson
		}
		data = append(data, esdb.EventData{
			EventID: e.ID, EventType: e.Type, ContentType: content, Data: e.Data, Metadata: e.Metadata,
		})
	}
	return receipt(c.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: revision(expected)}, data...))
}

func revision(e conformance.Expected) esdb.ExpectedRevision {
	switch e {
	case conformance.Any:
		return esdb.Any{}
	case conformance.NoStream:
		return esdb.NoStream{}
	case conformance.StreamExists:
		return esdb.StreamExists{}
	default:
		return esdb.Revision(uint64(e))
	}
}

func receipt(r *esdb.WriteResult, err error) (conformance.Receipt, error) {
	if err != nil {
		return conformance.Receipt{}, named(err)
	}
	return conformance.Receipt{
		Revision: r.NextExpectedVersion, Position: conformance.Position{Commit: r.CommitPosition, Prepare: r.PreparePosition},
	}, nil
}

// named makes an error match the suite's.
func named(err error) error {
	if err == nil {
		return nil
	}
	kind := errors.New("another error")
	if e, ok := errors.AsType[*esdb.Error](err); ok {
		switch e.Code() {
		case esdb.ErrorCodeWrongExpectedVersion:
			kind = conformance.ErrConflict
		case esdb.ErrorCodeStreamDeleted:
			kind = conformance.ErrDeleted
		case esdb.ErrorCodeResourceNotFound:
			kind = conformance.ErrNotFound
		case esdb.ErrorCodeResourceAlreadyExists:
			kind = conformance.ErrExists
		case esdb.ErrorCodeDeadlineExceeded:
			kind = conformance.ErrDeadline
		case esdb.ErrorCodeUnknown:
			kind = ofStatus(e.Err(), kind)
		default: // is for no behaviour
		}
	} else {
		kind = ofStatus(err, kind)
	}
	return fmt.Errorf("%w: %w", kind, err)
}

func ofStatus(err, otherwise error) error {
	switch status.Code(err) {
	case codes.InvalidArgument:
		return conformance.ErrInvalid
	case codes.FailedPrecondition:
		return conformance.ErrPrecondition
	default:
		return otherwise
	}
}

func (c client) Read(ctx context.Context, stream string, r conformance.Read) ([]conformance.Resolved, error) {
	direction := esdb.Forwards
	if r.Backwards {
		direction = esdb.Backwards
	}
	if stream == conformance.All {
		return collect(c.ReadAll(ctx, esdb.ReadAllOptions{
			From: inLog(r.From), Direction: direction, ResolveLinkTos: r.ResolveLinks,
		}, r.Count))
	}
	return collect(c.ReadStream(ctx, stream, esdb.ReadStreamOptions{
		From: inStream(r.From), Direction: direction, ResolveLinkTos: r.ResolveLinks,
	}, r.Count))
}

func inLog(p conformance.Place) esdb.AllPosition {
	switch {
	case p.End:
		return esdb.End{}
	case p.Position != nil:
		return esdb.Position{Commit: p.Position.Commit, Prepare: p.Position.Prepare}
	default:
		return esdb.Start{}
	}
}

func inStream(p conformance.Place) esdb.StreamPosition {
	switch {
	case p.End:
		return esdb.End{}
	case p.Revision != nil:
		return esdb.Revision(*p.Revision)
	default:
		return esdb.Start{}
	}
}

func collect(stream *esdb.ReadStream, err error) ([]conformance.Resolved, error) {
	if err != nil {
		return nil, named(err)
	}
	defer stream.Close()
	var out []conformance.Resolved
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, named(err)
		}
		out = append(out, resolved(e))
	}
}

func resolved(e *esdb.ResolvedEvent) conformance.Resolved {
	return conformance.Resolved{Event: recorded(e.Event), Link: recorded(e.Link)}
}

func recorded(e *esdb.RecordedEvent) *conformance.Recorded {
	if e == nil {
		return nil
	}
	return &conformance.Recorded{
		Event: conformance.Event{
			ID: e.EventID, Type: e.EventType, JSON: e.ContentType == "application/json", Data: e.Data, Metadata: e.UserMetadata,
		},
		Stream: e.StreamID, Revision: e.EventNumber, Created: e.CreatedDate,
		Position: conformance.Position{Commit: e.Position.Commit, Prepare: e.Position.Prepare},
	}
}

func (c client) Subscribe(ctx context.Context, stream string, s conformance.Subscribe) (conformance.Subscription, error) {
	var sub *esdb.Subscription
	var err error
	if stream == conformance.All {
		o := esdb.SubscribeToAllOptions{From: inLog(s.From), ResolveLinkTos: s.ResolveLinks}
		if f := s.Filter; f != nil {
			o.MaxSearchWindow, o.CheckpointInterval = f.Window, f.Interval
			o.Filter = filter(f)
		}
		sub, err = c.SubscribeToAll(ctx, o)
	} else {
		sub, err = c.SubscribeToStream(ctx, stream, esdb.SubscribeToStreamOptions{
			From: inStream(s.From), ResolveLinkTos: s.ResolveLinks,
		})
	}
	if err != nil {
		return nil, named(err)
	}
	return subscription{sub}, nil
}

func filter(f *conformance.Filter) *esdb.SubscriptionFilter {
	out := &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: f.Prefixes, Regex: f.Regex}
	if f.ByStream {
		out.Type = esdb.StreamFilterType
	}
	return out
}

type subscription struct{ *esdb.Subscription }

func (s subscription) Next() conformance.Message {
	e := s.Recv()
	switch {
	case e.EventAppeared != nil:
		return conformance.Message{Kind: conformance.Appeared, Resolved: resolved(e.EventAppeared)}
	case e.CaughtUp != nil:
		return conformance.Message{Kind: conformance.CaughtUp}
	case e.CheckPointReached != nil:
		p := e.CheckPointReached
		return conformance.Message{Kind: conformance.Checkpoint, Position: conformance.Position{Commit: p.Commit, Prepare: p.Prepare}}
	case e.SubscriptionDropped != nil:
		return conformance.Message{Kind: conformance.Dropped, Err: named(e.SubscriptionDropped.Error)}
	default:
		return conformance.Message{Kind: conformance.Unknown}
	}
}

func (s subscription) Close() { _ = s.Subscription.Close() }

func (c client) Delete(ctx context.Context, stream string, expected conformance.Expected) (conformance.Position, error) {
	r, err := c.DeleteStream(ctx, stream, esdb.DeleteStreamOptions{ExpectedRevision: revision(expected)})
	return position(r, err)
}

func (c client) Tombstone(ctx context.Context, stream string, expected conformance.Expected) (conformance.Position, error) {
	r, err := c.TombstoneStream(ctx, stream, esdb.TombstoneStreamOptions{ExpectedRevision: revision(expected)})
	return position(r, err)
}

func position(r *esdb.DeleteResult, err error) (conformance.Position, error) {
	if err != nil {
		return conformance.Position{}, named(err)
	}
	return conformance.Position{Commit: r.Position.Commit, Prepare: r.Position.Prepare}, nil
}

func (c client) SetMetadata(ctx context.Context, stream string, expected conformance.Expected, m conformance.Metadata) (conformance.Receipt, error) {
	var set esdb.StreamMetadata
	if m.MaxCount != nil {
		set.SetMaxCount(*m.MaxCount)
	}
	if m.TruncateBefore != nil {
		set.SetTruncateBefore(*m.TruncateBefore)
	}
	if m.MaxAge != nil {
		set.SetMaxAge(*m.MaxAge)
	}
	if m.ReadRoles != nil {
		var acl esdb.Acl
		acl.AddReadRoles(m.ReadRoles...)
		set.SetAcl(acl)
	}
	for name, value := range m.Custom {
		set.AddCustomProperty(name, value)
	}
	return receipt(c.SetStreamMetadata(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: revision(expected)}, set))
}

func (c client) Metadata(ctx context.Context, stream string) (conformance.Metadata, error) {
	m, err := c.GetStreamMetadata(ctx, stream, esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards})
	if err != nil {
		return conformance.Metadata{}, named(err)
	}
	got := conformance.Metadata{
		MaxCount: m.MaxCount(), TruncateBefore: m.TruncateBefore(), MaxAge: m.MaxAge(), Custom: map[string]string{},
	}
	if acl := m.StreamAcl(); acl != nil {
		got.ReadRoles = acl.ReadRoles()
	}
	for name, value := range m.CustomProperties() {
		got.Custom[name] = fmt.Sprint(value)
	}
	return got, nil
}
