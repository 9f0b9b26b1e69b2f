package logcopy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/logcopy"
)

func TestCopyIsTheLog(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			from, to := newSide(t), newSide(t)
			from.fill(seed, 150)
			report := mustCopy(t, from, to)
			wantCopy(t, from, to)
			if again := mustCopy(t, from, to); !again.Resumed || again.Digest != report.Digest || again.Events != report.Events {
				t.Errorf("%+v, then %+v", report, again)
			}
			wantCopy(t, from, to)

			back := newSide(t)
			if report := mustCopy(t, to, back); report.Resumed {
				t.Error("the way back is another copy")
			}
			wantCopy(t, from, back)
		})
	}
}

func TestCopyGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	from, to := newSide(t), newSide(t)
	from.fill(11, 300)
	var cut int
	for runs := 0; ; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		cut = 0
		_, err := logcopy.Copy(ctx, from.open(), to.open(), logcopy.Options{Page: 50, Progress: func(p logcopy.Progress) {
			if cut++; cut == 1+runs%2 && !p.Comparing {
				cancel()
			}
		}})
		ended := ctx.Err() != nil
		cancel()
		if err == nil {
			if runs < 2 {
				t.Fatal("the copy was never interrupted")
			}
			break
		}
		if !ended || runs > 100 {
			t.Fatalf("run %d: %v", runs, err)
		}
	}
	wantCopy(t, from, to)
}

// TestCopyGoesOnWhereTheServerDied cuts the target off in the middle of appends.
func TestCopyGoesOnWhereTheServerDied(t *testing.T) {
	t.Parallel()
	from := newSide(t)
	from.fill(12, 300)
	dir := t.TempDir()
	onDisk := func(o *esnode.Options) { o.Dir, o.FS = dir+"/log", nil }
	for run := range 4 {
		node := esnodetest.Start(t, onDisk)
		store, err := logcopy.Open(logcopy.Where{Address: node.Addr()})
		if err != nil {
			t.Fatal(err)
		}
		copied := make(chan error, 1)
		begun := make(chan struct{}, 100)
		go func() {
			_, err := logcopy.Copy(t.Context(), from.open(), store, logcopy.Options{Page: 50, Progress: func(logcopy.Progress) {
				select {
				case begun <- struct{}{}:
				default:
				}
			}})
			copied <- err
		}()
		select {
		case <-begun:
		case err := <-copied:
			t.Fatalf("run %d: %v", run, err)
		case <-time.After(20 * time.Second):
			t.Fatal("the copy makes no progress")
		}
		at := make(chan struct{})
		cut, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		cancel()
		go func() { defer close(at); _ = node.Close(cut) }()
		<-at
		err = <-copied
		if err != nil {
			t.Logf("run %d ended: %v", run, err)
		}
	}
	to := newSide(t, onDisk)
	mustCopy(t, from, to)
	wantCopy(t, from, to)
}

func TestCopyTellsWhenEventsWereCreated(t *testing.T) {
	t.Parallel()
	from, to := newSide(t), newSide(t)
	from.fill(3, 50)
	mustCopy(t, from, to)
	created := map[string]time.Time{}
	page, err := from.client.ReadAll(t.Context(), esdb.ReadAllOptions{}, math.MaxUint64)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	for e, err := page.Recv(); !errors.Is(err, io.EOF); e, err = page.Recv() {
		if err != nil {
			t.Fatal(err)
		}
		created[fmt.Sprintf("%s@%d", e.Event.StreamID, e.Event.EventNumber)] = e.Event.CreatedDate
	}
	ledger, err := to.client.ReadStream(t.Context(), "$copy-1", esdb.ReadStreamOptions{From: esdb.Start{}}, math.MaxUint64)
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	var types []string
	for e, err := ledger.Recv(); !errors.Is(err, io.EOF); e, err = ledger.Recv() {
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Event.EventType)
		var p struct {
			Appends []struct {
				Stream   string
				Revision uint64
				Created  []time.Time
			}
		}
		if err := json.Unmarshal(e.Event.Data, &p); err != nil {
			t.Fatal(err)
		}
		for _, a := range p.Appends {
			for i, at := range a.Created {
				place := fmt.Sprintf("%s@%d", a.Stream, a.Revision+uint64(i))
				if !created[place].Equal(at) {
					t.Errorf("%s was created at %s, the ledger says %s", place, created[place], at)
				}
				delete(created, place)
			}
		}
	}
	if len(created) > 0 || strings.Join(types, " ") != "$copy-started $copied $copy-verified" {
		t.Errorf("%v: the ledger does not tell of %v", types, created)
	}
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	wants := func(t *testing.T, from, to *side, want error) {
		t.Helper()
		if _, err := logcopy.Copy(t.Context(), from.store, to.store, logcopy.Options{}); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	t.Run("an empty source", func(t *testing.T) {
		t.Parallel()
		wants(t, newSide(t), newSide(t), logcopy.ErrNothing)
	})
	t.Run("a target with other events", func(t *testing.T) {
		t.Parallel()
		from, to := newSide(t), newSide(t)
		from.append("a", event("x"))
		to.append("b", event("y"))
		wants(t, from, to, logcopy.ErrNotEmpty)
	})
	t.Run("a target with the copy of another log", func(t *testing.T) {
		t.Parallel()
		one, other, to := newSide(t), newSide(t), newSide(t)
		one.append("a", event("x"))
		other.append("a", event("x"))
		mustCopy(t, one, to)
		wants(t, other, to, logcopy.ErrNotEmpty)
	})
	t.Run("a target to which somebody wrote", func(t *testing.T) {
		t.Parallel()
		from, to := newSide(t), newSide(t)
		from.fill(1, 100)
		mustCopy(t, from, to)
		to.append("mine", event("x"))
		wants(t, from, to, logcopy.ErrDifferent)
	})
	t.Run("a target to which somebody wrote what the source has at another place", func(t *testing.T) {
		t.Parallel()
		from, to := newSide(t), newSide(t)
		from.append("a", event("x"))
		mustCopy(t, from, to)
		x, y := event("x"), event("y")
		from.append("a", x, y)
		changed := x
		changed.Metadata = []byte(`{}`)
		to.append("a", changed)
		wants(t, from, to, logcopy.ErrDifferent)
	})
}

// TestCopyFindsAChangedByte has a target whose copy was changed under the ledger.
func TestCopyFindsAChangedByte(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*esdb.EventData){
		"data":         func(e *esdb.EventData) { e.Data = []byte(`{}`) },
		"metadata":     func(e *esdb.EventData) { e.Metadata = append([]byte(" "), e.Metadata...) },
		"type":         func(e *esdb.EventData) { e.EventType = "other" },
		"content type": func(e *esdb.EventData) { e.ContentType = esdb.ContentTypeBinary },
		"id":           func(e *esdb.EventData) { e.EventID = uuid.New() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, honest, to := newSide(t), newSide(t), newSide(t)
			x, y := event("x"), event("y")
			from.append("a", x, y)
			mustCopy(t, from, honest)
			change(&y)
			ledger, err := honest.client.ReadStream(t.Context(), "$copy-1", esdb.ReadStreamOptions{From: esdb.Start{}}, math.MaxUint64)
			if err != nil {
				t.Fatal(err)
			}
			defer ledger.Close()
			to.append("a", x, y)
			for e, err := ledger.Recv(); !errors.Is(err, io.EOF); e, err = ledger.Recv() {
				if err != nil {
					t.Fatal(err)
				}
				to.append("$copy-1", esdb.EventData{EventID: e.Event.EventID, EventType: e.Event.EventType, ContentType: esdb.ContentTypeJson, Data: e.Event.Data})
			}
			if _, err := logcopy.Copy(t.Context(), from.store, to.store, logcopy.Options{}); !errors.Is(err, logcopy.ErrDifferent) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLineage(t *testing.T) {
	t.Parallel()
	a, b, c := newSide(t), newSide(t), newSide(t)
	a.append("s", event("x"))
	mustCopy(t, a, b)
	mustCopy(t, b, c)
	seen := map[string]bool{}
	for _, s := range []*side{a, b, c} {
		log, err := eventlog.Open(t.Context(), eventlog.Options{Address: s.node.Addr(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		id, err := logcopy.Lineage(t.Context(), log)
		if err != nil {
			t.Error(err)
		}
		if seen[id] || (id == "") != (s == a) {
			t.Errorf("the lineage is %q", id)
		}
		seen[id] = true
		if err := log.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestCopyWithCredentials(t *testing.T) {
	t.Parallel()
	locked := func(o *esnode.Options) { o.Username, o.Password = "ada", "secret" }
	from, to := esnodetest.Start(t, locked, esnodetest.OnLoopback), esnodetest.Start(t, locked)
	open := func(w logcopy.Where) *logcopy.Store {
		store, err := logcopy.Open(w)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	source := open(logcopy.Where{URL: strings.Replace(from.ConnectionString(), "esdb://", "esdb://ada:secret@", 1)})
	target := open(logcopy.Where{Address: to.Addr(), Username: "ada", Password: "secret"})
	nobody := open(logcopy.Where{Address: to.Addr()})
	if _, err := logcopy.Copy(t.Context(), source, nobody, logcopy.Options{}); err == nil {
		t.Error("a server was written to without its password")
	}
	if _, err := logcopy.Copy(t.Context(), source, target, logcopy.Options{}); !errors.Is(err, logcopy.ErrNothing) {
		t.Errorf("got %v", err)
	}
}
