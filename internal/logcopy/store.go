// Package logcopy copies a whole log from one EventStoreDB server to another, and
// proves that the copy is the log: every event of every stream, in the log's
// order, at its revision, with its id, type, content type, data and metadata byte
// for byte, and each stream's own metadata, deletions and tombstones.
//
// What a server keeps for itself (streams whose names begin with $, such as its
// users, statistics and projections) is not copied. A copy leaves a stream of its
// own in the target, its ledger, which makes it resumable and keeps what no server
// lets a client write: when each event was created in the source.
package logcopy

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/metadata"
)

// callBound bounds an append, a deletion and the reading of one event.
const callBound = 30 * time.Second

// Where says where a server is. Exactly one of URL and Address is set.
type Where struct {
	// URL is a connection string: esdb://, esdb+discover://.
	URL string
	// Address is a gRPC target without encryption that a URL cannot express, such
	// as unix:/path.
	Address string
	// Username and Password, if set, win over those of the URL.
	Username, Password string
}

// Store is one end of a copy. It is used by one copy at a time.
type Store struct {
	client *esdb.Client
	name   string
	auth   string
}

// Open makes a client for a server. It does not call the server yet.
func Open(w Where) (*Store, error) {
	url := w.URL
	if w.Address != "" {
		url = "esdb://localhost:1?tls=false" // only a parsed configuration has the client's defaults
	}
	config, err := esdb.ParseConnectionString(url)
	if err != nil {
		return nil, fmt.Errorf("read the connection string: %w", err)
	}
	if w.Address != "" {
		config.Address = w.Address
	}
	if w.Username != "" {
		config.Username, config.Password = w.Username, w.Password
	}
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	s := &Store{client: client, name: nameOf(config)}
	if config.Username != "" { // the client leaves them out without TLS
		s.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(config.Username+":"+config.Password))
	}
	return s, nil
}

// nameOf is where a server is, without credentials.
func nameOf(c *esdb.Configuration) string {
	if c.Address != "" {
		return c.Address
	}
	seeds := make([]string, len(c.GossipSeeds))
	for i, s := range c.GossipSeeds {
		seeds[i] = s.String()
	}
	return strings.Join(seeds, ",")
}

// Close ends the client. No call may be in flight.
func (s *Store) Close() error {
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("close the client: %w", err)
	}
	return nil
}

func (s *Store) outgoing(ctx context.Context) context.Context {
	if s.auth != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", s.auth)
	}
	return metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
}

// events are those of the whole log after a position, in its order, to the end
// that it has at the time.
func (s *Store) events(ctx context.Context, after esdb.Position) iter.Seq2[*esdb.RecordedEvent, error] {
	return func(yield func(*esdb.RecordedEvent, error) bool) {
		o := esdb.ReadAllOptions{Direction: esdb.Forwards, From: esdb.Start{}}
		if after != (esdb.Position{}) {
			o.From = after
		}
		page, err := s.client.ReadAll(s.outgoing(ctx), o, math.MaxUint64)
		if err != nil {
			yield(nil, s.failed("read the log", err))
			return
		}
		defer page.Close()
		for {
			e, err := page.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, s.failed("read the log", err))
				return
			}
			// The event at the start is read again. Links are not followed.
			if e.Event != nil && before(after, e.Event.Position) && !yield(e.Event, nil) {
				return
			}
		}
	}
}

// last is a stream's last event, nil if it has none that can be read.
func (s *Store) last(ctx context.Context, stream string) (*esdb.RecordedEvent, error) {
	return s.one(ctx, stream, esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}})
}

func (s *Store) first(ctx context.Context, stream string) (*esdb.RecordedEvent, error) {
	return s.one(ctx, stream, esdb.ReadStreamOptions{Direction: esdb.Forwards, From: esdb.Start{}})
}

func (s *Store) one(ctx context.Context, stream string, o esdb.ReadStreamOptions) (*esdb.RecordedEvent, error) {
	ctx, cancel := context.WithTimeout(s.outgoing(ctx), callBound)
	defer cancel()
	page, err := s.client.ReadStream(ctx, stream, o, 1)
	if err != nil {
		return nil, s.failed("read "+stream, err)
	}
	defer page.Close()
	e, err := page.Recv()
	switch {
	case err == nil:
		return e.Event, nil
	case errors.Is(err, io.EOF), isCode(err, esdb.ErrorCodeResourceNotFound), isCode(err, esdb.ErrorCodeStreamDeleted):
		return nil, nil
	default:
		return nil, s.failed("read "+stream, err)
	}
}

// append appends events of one stream at their revisions. Repeated, it succeeds.
func (s *Store) append(ctx context.Context, stream string, first uint64, events []esdb.EventData) error {
	ctx, cancel := context.WithTimeout(s.outgoing(ctx), callBound)
	defer cancel()
	var expected esdb.ExpectedRevision = esdb.NoStream{}
	if first > 0 {
		expected = esdb.Revision(first - 1)
	}
	if _, err := s.client.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events...); err != nil {
		return s.failed("append to "+stream, err)
	}
	return nil
}

// delete deletes a stream softly.
func (s *Store) delete(ctx context.Context, stream string) error {
	ctx, cancel := context.WithTimeout(s.outgoing(ctx), callBound)
	defer cancel()
	if _, err := s.client.DeleteStream(ctx, stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		return s.failed("delete "+stream, err)
	}
	return nil
}

// tombstone deletes a stream for ever.
func (s *Store) tombstone(ctx context.Context, stream string) error {
	ctx, cancel := context.WithTimeout(s.outgoing(ctx), callBound)
	defer cancel()
	_, err := s.client.TombstoneStream(ctx, stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
	if err != nil && !isCode(err, esdb.ErrorCodeStreamDeleted) {
		return s.failed("delete "+stream+" for ever", err)
	}
	return nil
}

func (s *Store) failed(doing string, err error) error {
	return fmt.Errorf("%s: %s: %w", s.name, doing, err)
}

func isCode(err error, code esdb.ErrorCode) bool {
	e, ok := errors.AsType[*esdb.Error](err)
	return ok && e.Code() == code
}
