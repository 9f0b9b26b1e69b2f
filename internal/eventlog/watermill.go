package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
)

// Headers of a Watermill message that stands for itself. The payload of any is the
// stored event's bytes, its UUID the event's id.
const (
	headerStream   = "stream"
	headerRevision = "revision"
	headerCommit   = "commit"
	headerPrepare  = "prepare"
	headerType     = "type"
	headerMeta     = "meta"
)

// SubscriberOptions say where a Subscriber starts and how far it runs ahead.
type SubscriberOptions struct {
	// After is asked at every Subscribe for the position to start behind.
	After func(context.Context) (Position, error)
	// Window is how many messages may be unacknowledged; 1 if zero. With 1, a
	// message follows only when the one before it was acknowledged.
	Window int
	// Pause is how long a refused message waits before it is sent again; 1 s if
	// zero.
	Pause time.Duration
	// Catalogue-independent filter: nil passes every record.
	Want func(Record) bool
}

// Subscriber delivers the whole log, in order, as Watermill messages, of which
// RecordOf tells the record. It implements message.Subscriber. A message that is
// refused (nacked) is sent again, with everything after it, for as long as it
// takes: the log has no gaps and neither may whoever follows it.
type Subscriber struct {
	log     *Log
	options SubscriberOptions
	closing chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber makes a Subscriber of log.
func NewSubscriber(log *Log, o SubscriberOptions) *Subscriber {
	o.Window = max(o.Window, 1)
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	return &Subscriber{log: log, options: o, closing: make(chan struct{})}
}

// Subscribe starts a delivery that ends with ctx or Close; the channel is closed
// then. The topic is not used: there is one log.
func (s *Subscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	after, err := s.options.After(ctx)
	if err != nil {
		return nil, fmt.Errorf("find where to start: %w", err)
	}
	out := make(chan *message.Message, s.options.Window)
	ctx, cancel := context.WithCancel(ctx)
	s.running.Go(func() {
		defer close(out)
		defer cancel()
		s.run(ctx, delivery{after: after, out: out, window: s.options.Window, want: s.options.Want})
	})
	s.running.Go(func() {
		defer cancel()
		select {
		case <-s.closing:
		case <-ctx.Done():
		}
	})
	return out, nil
}

// Close ends every delivery and waits for it.
func (s *Subscriber) Close() error {
	s.once.Do(func() { close(s.closing) })
	s.running.Wait()
	return nil
}

func (s *Subscriber) run(ctx context.Context, d delivery) {
	for {
		err := s.log.Follow(ctx, d.after, func(item Item) error { return d.deliver(ctx, item) })
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errRefused) {
			s.log.logger.ErrorContext(ctx, "delivery of the log stopped", slog.Any("error", err))
			return
		}
		d.pending, d.bytes = nil, 0
		wait(ctx, s.options.Pause)
	}
}

var errRefused = errors.New("a message was refused")

// delivery is one subscription's window of messages in flight.
type delivery struct {
	after   Position // of the last message acknowledged without a gap
	out     chan<- *message.Message
	window  int
	want    func(Record) bool
	pending []sent
	bytes   int // of what is pending
}

// maxInFlight bounds the bytes of the messages in flight, one message aside.
const maxInFlight = 16 << 20

type sent struct {
	message  *message.Message
	position Position
	size     int
}

func (d *delivery) deliver(ctx context.Context, item Item) error {
	if item.CaughtUp || item.Lost || d.want != nil && !d.want(item.Record) {
		return d.settle(ctx, d.window)
	}
	if err := d.settle(ctx, d.window-1); err != nil {
		return err
	}
	size := len(item.Record.Stored.Data)
	for len(d.pending) > 0 && d.bytes+size > maxInFlight {
		if err := d.settle(ctx, len(d.pending)-1); err != nil {
			return err
		}
	}
	msg := delivered(ctx, item.Record)
	select {
	case d.out <- msg:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.pending = append(d.pending, sent{msg, item.Record.Position, size})
	d.bytes += size
	if d.window == 1 {
		return d.settle(ctx, 0)
	}
	return nil
}

// settle waits until at most most messages are in flight, and takes note of
// every acknowledgement at the front meanwhile.
func (d *delivery) settle(ctx context.Context, most int) error {
	for len(d.pending) > 0 {
		front := d.pending[0]
		if len(d.pending) <= most {
			select {
			case <-front.message.Acked():
			case <-front.message.Nacked():
				return errRefused
			default:
				return nil
			}
		} else {
			select {
			case <-front.message.Acked():
			case <-front.message.Nacked():
				return errRefused
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		d.after = front.position
		d.bytes -= front.size
		d.pending = d.pending[1:]
	}
	return nil
}

// recordKey carries the record that a message was made from.
type recordKey struct{}

// delivered is r as a Subscriber delivers it: the record goes with its message, and
// need not be written into headers and read from them again.
func delivered(ctx context.Context, r Record) *message.Message {
	return message.NewMessageWithContext(context.WithValue(ctx, recordKey{}, &r), r.ID.String(), r.Stored.Data)
}

// MessageOf is r as a message that can leave the process: its headers say
// everything.
func MessageOf(ctx context.Context, r Record) (*message.Message, error) {
	meta, err := json.Marshal(r.Meta)
	if err != nil {
		return nil, fmt.Errorf("write event metadata: %w", err)
	}
	msg := message.NewMessageWithContext(ctx, r.ID.String(), r.Stored.Data)
	msg.Metadata = message.Metadata{
		headerStream:   r.Stream,
		headerRevision: strconv.FormatInt(r.Revision, 10),
		headerCommit:   strconv.FormatUint(r.Position.Commit, 10),
		headerPrepare:  strconv.FormatUint(r.Position.Prepare, 10),
		headerType:     r.Stored.Name,
		headerMeta:     string(meta),
	}
	return msg, nil
}

// RecordOf is the record that msg was made from, by a Subscriber or by MessageOf.
func RecordOf(msg *message.Message) (Record, error) {
	if r, ok := msg.Context().Value(recordKey{}).(*Record); ok {
		return *r, nil
	}
	id, err := uuid.Parse(msg.UUID)
	if err != nil {
		return Record{}, fmt.Errorf("read message id: %w", err)
	}
	revision, err := strconv.ParseInt(msg.Metadata[headerRevision], 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("read message revision: %w", err)
	}
	commit, err := strconv.ParseUint(msg.Metadata[headerCommit], 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("read message position: %w", err)
	}
	prepare, err := strconv.ParseUint(msg.Metadata[headerPrepare], 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("read message position: %w", err)
	}
	meta, err := parseMeta([]byte(msg.Metadata[headerMeta]))
	if err != nil {
		return Record{}, err
	}
	return Record{
		ID: id, Stream: msg.Metadata[headerStream], Revision: revision, Position: Position{commit, prepare}, Meta: meta,
		Stored: eventschema.Stored{Name: msg.Metadata[headerType], Version: meta.SchemaVersion, Data: msg.Payload},
	}, nil
}

// Publisher appends messages to the stream named by their topic, whatever its
// revision is. It implements message.Publisher, for facts that belong to no
// aggregate; aggregates are appended to by decisions alone.
type Publisher struct{ Log *Log }

var _ message.Publisher = Publisher{}

// Publish appends all messages in one append. Messages are made by NewMessage.
func (p Publisher) Publish(topic string, messages ...*message.Message) error {
	events := make([]Event, len(messages))
	for i, msg := range messages {
		id, err := uuid.Parse(msg.UUID)
		if err != nil {
			return fmt.Errorf("read message id: %w", err)
		}
		meta, err := parseMeta([]byte(msg.Metadata[headerMeta]))
		if err != nil {
			return err
		}
		events[i] = Event{
			ID: id, Meta: meta,
			Stored: eventschema.Stored{Name: msg.Metadata[headerType], Version: meta.SchemaVersion, Data: msg.Payload},
		}
	}
	_, err := p.Log.Append(messages[0].Context(), topic, Any, events...)
	return err
}

// Close does nothing: the log outlives its publishers.
func (Publisher) Close() error { return nil }

// NewMessage is e as a message for a Publisher.
func NewMessage(ctx context.Context, e Event) (*message.Message, error) {
	e.Meta.SchemaVersion = e.Stored.Version
	return MessageOf(ctx, Record{ID: e.ID, Meta: e.Meta, Stored: e.Stored})
}
