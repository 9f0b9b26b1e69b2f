package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const (
	eventType = "session.message_posted"
	// recordHead is what the store adds to an event's type, stream and data.
	recordHead = 50
)

// payload is JSON of 300 bytes, of which a third repeats in other events.
func payload(n uint64) []byte {
	id := uuid.NewSHA1(uuid.NameSpaceOID, binary.BigEndian.AppendUint64(nil, n))
	text := fmt.Appendf(nil, `{"message_id":"msg_%x","session_id":"sess_%x","author":"user_%04x","role":"user","posted_at":"2026-01-31T12:%02d:%02d.%03dZ","body":"`,
		id, id[:8], n%5000, n/60%60, n%60, n%1000)
	for i := uint64(0); len(text) < 298; i++ {
		text = append(text, words[(n*7+i*i*13+n/31*i)%uint64(len(words))]...)
	}
	return append(text[:298], `"}`...)
}

// payloads are made once: what making them costs is not measured.
var payloads = func() (list [1024][]byte) {
	for i := range list {
		list[i] = payload(uint64(i))
	}
	return list
}()

func ready(n uint64) []byte { return payloads[n%uint64(len(payloads))] }

// nextID is an event's id, made for less than a random one.
func nextID(seed, n uint64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], seed)
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

var words = []string{
	"please ", "look ", "at ", "the ", "failing ", "test ", "in ", "package ", "storage ", "and ", "tell ", "me ", "why ", "it ", "waits ",
	"before ", "you ", "change ", "anything ", "then ", "write ", "a ", "fix ", "with ", "an ", "explanation ", "of ", "what ", "was ", "wrong ",
}

func openLog(dir string) (*storage.Log, error) {
	return storage.Open(storage.Options{Dir: dir, Floor: storage.NoFloor, Logger: slog.New(slog.DiscardHandler)})
}

// appendTo appends n events to one stream, in one commit.
func appendTo(log *storage.Log, stream string, n int) operation {
	count, seed := uint64(0), rand.Uint64()
	return func(ctx context.Context) (int, error) {
		events := make([]storage.NewEvent, n)
		for i := range events {
			count++
			events[i] = storage.NewEvent{ID: nextID(seed, count), Type: eventType, JSON: true, Data: ready(count)}
		}
		return n, log.Commit(ctx, func(tx *storage.Tx) error {
			s, err := tx.Stream(stream)
			if err != nil {
				return err
			}
			for i := range events {
				s.Last++
				tx.Put(stream, uint64(s.Last), &events[i])
			}
			tx.PutStream(stream, s)
			return nil
		})
	}
}

// rawPebble is the first limit: the same keys and sizes, in synced batches, and
// nothing else.
type rawPebble struct {
	db   *pebble.DB
	next atomic.Uint64
}

func openRaw(dir string) (*rawPebble, error) {
	db, err := pebble.Open(dir, &pebble.Options{
		MemTableSize: 16 << 20, Logger: silent{}, FormatMajorVersion: pebble.FormatValueSeparation,
	})
	if err != nil {
		return nil, fmt.Errorf("open Pebble: %w", err)
	}
	return &rawPebble{db: db}, nil
}

func (r *rawPebble) write(stream string, n int) operation {
	revision := uint64(0)
	head := make([]byte, recordHead+len(stream)+len(eventType))
	return func(context.Context) (int, error) {
		batch := r.db.NewBatch()
		defer func() { _ = batch.Close() }() // was committed, or failed
		for range n {
			revision++
			key := binary.BigEndian.AppendUint64([]byte("e"), r.next.Add(1))
			index := binary.BigEndian.AppendUint64([]byte("s0000"+stream), revision)
			err := errors.Join(batch.Set(key, append(head, ready(revision)...), nil), batch.Set(index, head[:20], nil))
			if err != nil {
				return 0, err
			}
		}
		if err := batch.Set([]byte("m"+stream), head[:46], nil); err != nil {
			return 0, err
		}
		return n, batch.Commit(pebble.Sync)
	}
}

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func workers(c int, of func(stream string) operation) []operation {
	list := make([]operation, c)
	for i := range list {
		list[i] = of("session-" + uuid.NewString())
	}
	return list
}

func measureStorage(ctx context.Context, b *bench) (err error) {
	log, err := openLog(b.folder("storage"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	raw, err := openRaw(b.folder("raw"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.db.Close()) }()
	for _, size := range []struct {
		events int
		goal   float64
	}{{1, 0.7}, {100, 0.6}} {
		for _, c := range concurrencies {
			samples, err := b.inTurns(ctx,
				workers(c, func(s string) operation { return appendTo(log, s, size.events) }),
				workers(c, func(s string) operation { return raw.write(s, size.events) }))
			if err != nil {
				return err
			}
			what := "storage: durable append"
			if size.events > 1 {
				what = fmt.Sprintf("storage: durable append of %d events", size.events)
			}
			b.report.share(what, c, &samples[0], "raw Pebble", &samples[1], size.goal)
		}
	}
	return nil
}
