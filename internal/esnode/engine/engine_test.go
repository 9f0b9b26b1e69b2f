package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const bound = 10 * time.Second

// rig is an engine on a log in memory.
type rig struct {
	t      testing.TB
	ctx    context.Context
	engine *engine.Engine
	log    *storage.Log
	fs     vfs.FS
	now    time.Time
}

func newRig(t testing.TB) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	r := &rig{t: t, ctx: ctx, fs: vfs.NewMem(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	r.open()
	t.Cleanup(func() { _ = r.log.Close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	clock := func() time.Time { return r.now }
	log, err := storage.Open(storage.Options{FS: r.fs, Dir: "log", Logger: slog.New(slog.DiscardHandler), Now: clock})
	if err != nil {
		r.t.Fatalf("open the log: %v", err)
	}
	r.log, r.engine = log, engine.New(engine.Options{Log: log, Now: clock})
}

// restart is what a restart of the process is to the engine: memory is lost.
func (r *rig) restart() {
	r.t.Helper()
	if err := r.log.Close(); err != nil {
		r.t.Fatalf("close the log: %v", err)
	}
	r.open()
}

// id numbers event ids, so that tests can name them.
func id(n int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	id[0] = 1
	return id
}

// events are events with the given ids and their numbers as data.
func events(ids ...int) []storage.NewEvent {
	var out []storage.NewEvent
	for _, n := range ids {
		out = append(out, storage.NewEvent{ID: id(n), Type: "test", Data: []byte(strconv.Itoa(n))})
	}
	return out
}

func (r *rig) append(stream string, expected engine.Expected, ids ...int) (engine.Receipt, error) {
	return r.engine.Append(r.ctx, engine.Append{Stream: stream, Expected: expected, Events: events(ids...)})
}

func (r *rig) mustAppend(stream string, expected engine.Expected, ids ...int) engine.Receipt {
	r.t.Helper()
	receipt, err := r.append(stream, expected, ids...)
	if err != nil {
		r.t.Fatalf("append to %s: %v", stream, err)
	}
	return receipt
}

func (r *rig) setMetadata(stream, json string) {
	r.t.Helper()
	_, err := r.engine.Append(r.ctx, engine.Append{Stream: "$$" + stream, Expected: engine.Any, Events: []storage.NewEvent{
		{ID: id(int(time.Now().UnixNano())), Type: "$metadata", JSON: true, Data: []byte(json)},
	}})
	if err != nil {
		r.t.Fatalf("set the metadata of %s: %v", stream, err)
	}
}

func (r *rig) mustDelete(stream string, expected engine.Expected) uint64 {
	r.t.Helper()
	position, err := r.engine.Delete(r.ctx, stream, expected)
	if err != nil {
		r.t.Fatalf("delete %s: %v", stream, err)
	}
	return position
}

func (r *rig) mustTombstone(stream string, expected engine.Expected) uint64 {
	r.t.Helper()
	position, err := r.engine.Tombstone(r.ctx, stream, expected)
	if err != nil {
		r.t.Fatalf("tombstone %s: %v", stream, err)
	}
	return position
}

// read gives a stream's visible events as "revision:data".
func (r *rig) read(stream string) ([]string, error) {
	return show(r.engine.ReadStream(r.ctx, engine.StreamRead{Stream: stream, Count: math.MaxUint64}))
}

func (r *rig) wantStream(stream string, want ...string) {
	r.t.Helper()
	got, err := r.read(stream)
	if err != nil || !slices.Equal(got, want) {
		r.t.Fatalf("%s reads %v, %v, want %v", stream, got, err, want)
	}
}

func (r *rig) wantMissing(stream string) {
	r.t.Helper()
	if got, err := r.read(stream); !errors.Is(err, engine.ErrStreamNotFound) {
		r.t.Fatalf("%s reads %v, %v, want not found", stream, got, err)
	}
}

func show(events iter.Seq2[engine.Resolved, error]) (out []string, err error) {
	for e, err := range events {
		if err != nil {
			return out, err
		}
		out = append(out, text(e))
	}
	return out, nil
}

func text(r engine.Resolved) string {
	part := func(e *storage.Event) string { return fmt.Sprintf("%d:%s", e.Revision, e.Data) }
	switch {
	case r.Link == nil:
		return part(r.Event)
	case r.Event == nil:
		return "link " + part(r.Link)
	default:
		return "link " + part(r.Link) + " to " + part(r.Event)
	}
}

func isConflict(err error) bool { _, ok := errors.AsType[*engine.ConflictError](err); return ok }
func isDeleted(err error) bool  { _, ok := errors.AsType[*engine.DeletedError](err); return ok }
func isInvalid(err error) bool  { _, ok := errors.AsType[*engine.InvalidError](err); return ok }
