package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const (
	readEvents = 200_000
	rareEvery  = 10_000
	rareType   = "rare"
)

// seed appends events to a log, many in one commit, to many streams.
func seed(ctx context.Context, log *storage.Log, events int) error {
	const batch = 2000
	state := map[string]storage.Stream{}
	for done := 0; done < events; {
		n := min(batch, events-done)
		err := log.Commit(ctx, func(tx *storage.Tx) error {
			for range n {
				done++
				stream := fmt.Sprintf("session-%08x-0000-4000-8000-%012x", done/200, done/200)
				s, ok := state[stream]
				if !ok {
					clear(state) // of the streams before it, nothing more comes
					s.Last = storage.NoRevision
				}
				s.Last++
				e := storage.NewEvent{Type: eventType, JSON: true, Data: payload(uint64(done))}
				binary.BigEndian.PutUint64(e.ID[:], uint64(done)*0x9e3779b97f4a7c15)
				binary.BigEndian.PutUint64(e.ID[8:], uint64(done)*0xc2b2ae3d27d4eb4f)
				if done%rareEvery == 0 {
					e.Type = rareType
				}
				tx.Put(stream, uint64(s.Last), &e)
				tx.PutStream(stream, s)
				state[stream] = s
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func measureReading(ctx context.Context, b *bench) (err error) {
	dir := b.folder("r")
	log, err := openLog(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	if err := errors.Join(seed(ctx, log, readEvents), log.Close()); err != nil {
		return err
	}
	// The first opening writes as tables what the log of writes holds.
	if log, err = openLog(filepath.Join(dir, "log")); err != nil {
		return err
	}
	copied := b.folder("copy")
	if err := log.Checkpoint(copied); err != nil {
		return errors.Join(err, log.Close())
	}
	raw, err := pebble.Open(copied, &pebble.Options{ReadOnly: true, Logger: silent{}, FormatMajorVersion: pebble.FormatValueSeparation})
	if err != nil {
		return errors.Join(fmt.Errorf("open Pebble: %w", err), log.Close())
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	err = b.readStorage(ctx, log, raw)
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	return b.readByClient(ctx, dir, raw)
}

// scanRaw visits all events with the decoding that a log does: the checksum, and
// where each part begins.
func scanRaw(db *pebble.DB) operation {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	return func(context.Context) (n int, err error) {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("e"), UpperBound: []byte("f")})
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, it.Close()) }()
		parts := 0
		for ok := it.First(); ok; ok = it.Next() {
			record, err := it.ValueAndErr()
			if err != nil {
				return n, err
			}
			sum := crc32.Update(crc32.Checksum(it.Key()[1:], castagnoli), castagnoli, record[5:])
			if sum != binary.BigEndian.Uint32(record[1:]) {
				return n, errors.New("a checksum is wrong")
			}
			for at := 38; at < 50; at += 4 {
				parts += int(binary.BigEndian.Uint32(record[at:]))
			}
			n++
		}
		return n, it.Error()
	}
}

func (b *bench) readStorage(ctx context.Context, log *storage.Log, raw *pebble.DB) error {
	scan := func(context.Context) (n int, err error) {
		head := log.Head()
		for from := uint64(1); from <= head && err == nil; {
			from, err = log.ScanAll(from, head, func(*storage.Event) bool { n++; return true })
		}
		return n, err
	}
	samples, err := b.inTurns(ctx, []operation{scan}, []operation{scanRaw(raw)})
	if err != nil {
		return err
	}
	b.report.share("storage: scan of the log", 1, &samples[0], "raw Pebble, same decoding", &samples[1], 0.5)

	filter, err := engine.NewFilter(engine.FilterOptions{Prefixes: []string{rareType}})
	if err != nil {
		return err
	}
	e := engine.New(engine.Options{Log: log})
	best := time.Duration(1 << 62)
	for range b.rounds {
		start, matches := cpuTime(), 0
		for _, err := range e.ReadAll(ctx, engine.AllRead{Count: 1 << 62, Filter: filter}) {
			if err != nil {
				return err
			}
			matches++
		}
		if matches != readEvents/rareEvery {
			return fmt.Errorf("%d events match, not %d", matches, readEvents/rareEvery)
		}
		best = min(best, cpuTime()-start)
	}
	each := best.Seconds() * 1e6 / readEvents
	b.report.bound("filtered read, one event in 10,000 matches: each one skipped", fmt.Sprintf("%d events in %s of CPU", readEvents, short(best)), each, 1, "µs")
	return nil
}

func (b *bench) readByClient(ctx context.Context, dir string, raw *pebble.DB) (err error) {
	node, err := startNode(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close(context.WithoutCancel(ctx))) }()
	stop, err := serveNothing(ctx, b.folder("w"))
	if err != nil {
		return err
	}
	defer stop()
	ours, err := dial(node.Addr(), 1)
	if err != nil {
		return err
	}
	wire, err := dial("unix:"+b.folder("w"), 1)
	if err != nil {
		return errors.Join(err, ours.close())
	}
	const count = 20_000
	samples, err := b.inTurns(ctx, []operation{readAllBy(ours[0], count)}, []operation{readAllBy(wire[0], count)}, []operation{scanRaw(raw)})
	if err := errors.Join(err, ours.close(), wire.close()); err != nil {
		return err
	}
	b.report.share("official client: read of $all", 1, &samples[0], "gRPC that sends one event again", &samples[1], 0.7)
	b.report.share("official client: read of $all", 1, &samples[0], "raw Pebble, same decoding", &samples[2], 0.5)
	return nil
}
