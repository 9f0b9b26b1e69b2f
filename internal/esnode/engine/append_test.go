package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// The streams that appends are tried on. All have been at revision 2 but "new"
// and "meta", which has only metadata.
func prepare(r *rig) {
	for _, s := range []string{"live", "soft", "hard"} {
		r.mustAppend(s, engine.NoStream, 1, 2, 3)
	}
	r.mustDelete("soft", 2)
	r.mustTombstone("hard", 2)
	r.setMetadata("meta", `{}`)
}

func TestExpectedRevision(t *testing.T) {
	t.Parallel()
	const (
		accept   = "accept"
		repeat   = "repeat"
		conflict = "conflict"
		deleted  = "deleted"
	)
	const (
		any    = engine.Any
		exists = engine.StreamExists
		none   = engine.NoStream
	)
	for _, c := range []struct {
		name     string
		stream   string
		expected engine.Expected
		ids      []int
		want     string
		revision int64 // of accept and repeat
	}{
		{"any, of a new stream", "new", any, []int{7}, accept, 0},
		{"any, of a stream with metadata alone", "meta", any, []int{7}, accept, 0},
		{"any", "live", any, []int{7}, accept, 3},
		{"any, all known", "live", any, []int{1, 2, 3}, repeat, 2},
		{"any, the last known", "live", any, []int{3}, repeat, 2},
		{"any, only the first known", "live", any, []int{3, 7}, conflict, 0},
		{"any, only a later one known", "live", any, []int{7, 3}, accept, 4},
		{"any, known in another stream", "new", any, []int{1, 2}, accept, 1},
		{"any, of a deleted stream", "soft", any, []int{7}, accept, 3},
		{"any, of a closed stream", "hard", any, []int{7}, deleted, 0},
		{"any, of a closed stream's metadata", "$$hard", any, []int{7}, deleted, 0},

		{"exists, of a new stream", "new", exists, []int{7}, conflict, 0},
		{"exists, of a stream with metadata alone", "meta", exists, []int{7}, accept, 0},
		{"exists", "live", exists, []int{7}, accept, 3},
		{"exists, all known", "live", exists, []int{2, 3}, repeat, 2},
		{"exists, only the first known", "live", exists, []int{1, 7}, conflict, 0},
		{"exists, of a deleted stream", "soft", exists, []int{7}, deleted, 0},
		{"exists, of a closed stream", "hard", exists, []int{7}, deleted, 0},

		{"none, of a new stream", "new", none, []int{7, 8}, accept, 1},
		{"none, of a stream with metadata alone", "meta", none, []int{7}, accept, 0},
		{"none, of a live stream", "live", none, []int{7}, conflict, 0},
		{"none, repeated", "live", none, []int{1, 2}, repeat, 1},
		{"none, repeated whole", "live", none, []int{1, 2, 3}, repeat, 2},
		{"none, repeated and more", "live", none, []int{1, 2, 3, 4}, conflict, 0},
		{"none, another later", "live", none, []int{1, 7}, conflict, 0},
		{"none, of a deleted stream", "soft", none, []int{7}, accept, 3},
		{"none, of a deleted stream, repeated", "soft", none, []int{1, 2}, repeat, 1},
		{"none, of a deleted stream, another later", "soft", none, []int{1, 7}, conflict, 0},
		{"none, of a closed stream", "hard", none, []int{1}, deleted, 0},

		{"exact", "live", 2, []int{7}, accept, 3},
		{"exact, an id known before", "live", 2, []int{1}, accept, 3},
		{"exact, above", "live", 3, []int{7}, conflict, 0},
		{"exact, of a new stream", "new", 0, []int{7}, conflict, 0},
		{"exact, below", "live", 1, []int{7}, conflict, 0},
		{"exact, below, repeated", "live", 1, []int{3}, repeat, 2},
		{"exact, below, repeated in part", "live", 0, []int{2}, repeat, 1},
		{"exact, below, repeated and more", "live", 1, []int{3, 4}, conflict, 0},
		{"exact, below, known elsewhere in the stream", "live", 1, []int{2}, conflict, 0},
		{"exact, of a deleted stream", "soft", 2, []int{7}, accept, 3},
		{"exact, below, of a deleted stream", "soft", 1, []int{7}, conflict, 0},
		{"exact, of a closed stream", "hard", 2, []int{7}, deleted, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			prepare(r)
			head := r.log.Head()
			receipt, err := r.append(c.stream, c.expected, c.ids...)
			var got string
			switch {
			case isConflict(err):
				got = conflict
			case isDeleted(err):
				got = deleted
			case err != nil:
				t.Fatal(err)
			case receipt.Position > head:
				got = accept
			default:
				got = repeat
			}
			if got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
			if written := r.log.Head() > head; written != (got == accept) {
				t.Fatalf("written: %v", written)
			}
			if err != nil {
				return
			}
			event, found, err := r.log.Event(c.stream, uint64(c.revision))
			if err != nil || !found || receipt.Revision != c.revision || receipt.Position != event.Position {
				t.Fatalf("the receipt is %+v, the event is at %d (%v, %v)", receipt, event.Position, found, err)
			}
		})
	}

	t.Run("a conflict tells where the stream is", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		prepare(r)
		for stream, current := range map[string]int64{"live": 2, "new": storage.NoRevision} {
			_, err := r.append(stream, 9, 7)
			e, ok := errors.AsType[*engine.ConflictError](err)
			if !ok || e.Stream != stream || e.Expected != 9 || e.Current != current {
				t.Errorf("%s: got %+v", stream, err)
			}
		}
	})
}

func TestRepetition(t *testing.T) {
	t.Parallel()

	t.Run("of an exact append is recognised after a restart and whatever followed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		first := r.mustAppend("s", engine.NoStream, 1, 2)
		r.mustAppend("s", 1, 3)
		r.mustAppend("other", engine.NoStream, 1, 2)
		r.restart()
		if again := r.mustAppend("s", engine.NoStream, 1, 2); again != first {
			t.Fatalf("got %+v, want %+v", again, first)
		}
		r.wantStream("s", "0:1", "1:2", "2:3")
	})

	t.Run("of an append that names no revision is forgotten by a restart", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		first := r.mustAppend("s", engine.Any, 1)
		if again := r.mustAppend("s", engine.Any, 1); again != first {
			t.Fatalf("got %+v, want %+v", again, first)
		}
		r.restart()
		if again := r.mustAppend("s", engine.Any, 1); again == first {
			t.Fatal("it was remembered")
		}
	})

	t.Run("at the same time is recognised, and nothing is there twice", func(t *testing.T) {
		t.Parallel()
		for name, expected := range map[string]engine.Expected{"exact": engine.NoStream, "any": engine.Any} {
			r := newRig(t)
			hold, release := make(chan struct{}), make(chan struct{})
			var group errgroup.Group
			group.Go(func() error {
				return r.log.Commit(r.ctx, func(*storage.Tx) error { close(hold); <-release; return nil })
			})
			<-hold
			receipts := make([]engine.Receipt, 16)
			for i := range receipts {
				group.Go(func() (err error) {
					receipts[i], err = r.append("s", expected, 1, 2)
					return err
				})
			}
			close(release)
			if err := group.Wait(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if first := receipts[0]; first.Revision != 1 || slices.ContainsFunc(receipts, func(r engine.Receipt) bool { return r != first }) {
				t.Errorf("%s: got %v", name, receipts)
			}
			if s, err := r.log.Stream(r.ctx, "s"); err != nil || s.Last != 1 {
				t.Errorf("%s: the stream is at %d, %v", name, s.Last, err)
			}
		}
	})

	t.Run("is no matter for an append of nothing", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		if got := r.mustAppend("s", engine.NoStream); got != (engine.Receipt{Revision: storage.NoRevision}) {
			t.Fatalf("got %+v", got)
		}
		r.mustAppend("s", engine.NoStream, 1)
		if got := r.mustAppend("s", 0); got != (engine.Receipt{Revision: 0}) {
			t.Fatalf("got %+v", got)
		}
		if _, err := r.append("s", engine.NoStream); !isConflict(err) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestAppendIsRefused(t *testing.T) {
	t.Parallel()
	valid := func() engine.Append {
		return engine.Append{Stream: "s", Expected: engine.NoStream, Events: events(1)}
	}
	for name, spoil := range map[string]func(*engine.Append){
		"without a stream":          func(a *engine.Append) { a.Stream = "" },
		"to $$":                     func(a *engine.Append) { a.Stream = "$$" },
		"to a name that is endless": func(a *engine.Append) { a.Stream = strings.Repeat("n", 1<<17) },
		"to a name that is no text": func(a *engine.Append) { a.Stream = "\xff" },
		"with an empty type":        func(a *engine.Append) { a.Events[0].Type = "" },
		"with an empty id":          func(a *engine.Append) { a.Events[0].ID = [16]byte{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := valid()
			spoil(&a)
			if _, err := r.engine.Append(r.ctx, a); !isInvalid(err) {
				t.Fatalf("got %v", err)
			}
		})
	}

	t.Run("over the limit", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		a := valid()
		room := r.engine.MaxAppendBytes() - 2*len(a.Events[0].Type)
		a.Events[0].Data, a.Events[0].Metadata = make([]byte, room-100), make([]byte, 101)
		_, err := r.engine.Append(r.ctx, a)
		if e, ok := errors.AsType[*engine.TooLargeError](err); !ok || e.Max != r.engine.MaxAppendBytes() {
			t.Fatalf("got %v", err)
		}
		a.Events[0].Metadata = make([]byte, 100)
		if _, err := r.engine.Append(r.ctx, a); err != nil {
			t.Fatalf("at the limit: %v", err)
		}
	})

	t.Run("over the bound of what the limit does not count", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		a := valid()
		a.Stream = strings.Repeat("n", 64<<10)
		a.Events = events(make([]int, 511)...)
		if _, err := r.engine.Append(r.ctx, a); err != nil {
			t.Fatalf("at the bound: %v", err)
		}
		a.Events = events(make([]int, 512)...)
		_, err := r.engine.Append(r.ctx, a)
		if _, ok := errors.AsType[*engine.InvalidError](err); !ok {
			t.Fatalf("got %v", err)
		}
	})
}
