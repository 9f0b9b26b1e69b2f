package commands_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// shelf keeps snapshots, and tells when one was saved.
type shelf struct {
	mu     sync.Mutex
	kept   map[string]kept
	saved  chan string
	loads  int
	broken error
}

type kept struct {
	hash     string
	revision int64
	data     []byte
}

func newShelf() *shelf { return &shelf{kept: map[string]kept{}, saved: make(chan string, 1000)} }

func (s *shelf) LoadSnapshot(_ context.Context, stream, hash string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if k := s.kept[stream]; k.hash == hash {
		return k.data, s.broken
	}
	return nil, s.broken
}

func (s *shelf) SaveSnapshot(_ context.Context, stream, hash string, revision int64, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[stream] = kept{hash, revision, data}
	s.saved <- stream
	return s.broken
}

// await waits until a snapshot of the stream was saved.
func (s *shelf) await(t testing.TB, stream string) kept {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case saved := <-s.saved:
			if saved == stream {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.kept[stream]
			}
		case <-late:
			t.Fatalf("no snapshot of %s within %s", stream, patience)
		}
	}
}

// counting is a vault that counts what it opens: a message has two sealed fields.
type counting struct {
	keys

	mu     *sync.Mutex
	opened *int
}

func newCounting() counting { return counting{mu: &sync.Mutex{}, opened: new(int)} }

func (c counting) Open(sealed string) ([]byte, error) {
	c.mu.Lock()
	*c.opened++
	c.mu.Unlock()
	return c.keys.Open(sealed)
}

// fill appends n messages to a session as fast as the log takes them.
func (r *rig) fill(id string, n int) {
	r.t.Helper()
	for from := len(r.records("session-"+id)) - 1; n > 0; {
		page := make([]eventschema.Event, min(n, 400))
		for i := range page {
			page[i] = eventschema.MessagePosted{
				SessionID: id, ProjectID: "p", MessageID: fmt.Sprintf("msg_%d", from+i), Role: "user",
				Content: json.RawMessage(`[{"type":"text","text":"hello"}]`), Meta: json.RawMessage(`{}`),
			}
		}
		r.append("session-"+id, int64(from), eventlog.Meta{At: r.clock.Now(), ActorUserID: "user_a", ActorKind: "user"}, page...)
		from += len(page)
		n -= len(page)
	}
}

func TestALongStreamIsReadFromItsSnapshot(t *testing.T) {
	t.Parallel()
	s := newShelf()
	with := func(o *commands.Options) { o.Snapshots = s }
	r := newRig(t, with)
	id := r.session("")
	stream := "session-" + id
	r.fill(id, 3000)
	r.message(id, "the first reader makes the snapshot")
	if k := s.await(t, stream); k.revision < 2500 {
		t.Fatalf("the snapshot is of revision %d", k.revision)
	}
	r.fill(id, 400)

	v := newCounting()
	cold := rigOn(t, r.log, with, func(o *commands.Options) { o.Vault = v })
	cold.message(id, "x")
	// The first page told that the stream is long; one more was behind the snapshot.
	if messages := *v.opened / 2; messages > 500 {
		t.Errorf("%d messages were read", messages)
	}
	if n := len(r.records(stream)); n != 1+3000+1+400+1 {
		t.Errorf("the journal has %d events", n)
	}
}

// What no state needs must not make a stream longer for its next reader: a run's
// output is most of a journal.
func TestOutputCountsTowardsASnapshot(t *testing.T) {
	t.Parallel()
	s := newShelf()
	with := func(o *commands.Options) { o.Snapshots = s }
	r := newRig(t, with)
	id := r.session("")
	run := r.run(id)
	x := r.execute(id, run)
	for range 510 {
		if err := x.Output(t.Context(), "token "); err != nil {
			t.Fatal(err)
		}
	}
	if k := s.await(t, "session-"+id); k.revision < 499 {
		t.Errorf("the snapshot is of revision %d", k.revision)
	}
}

func TestAShortStreamNeedsNoSnapshot(t *testing.T) {
	t.Parallel()
	s := newShelf()
	r := newRig(t, func(o *commands.Options) { o.Snapshots = s })
	r.message(r.session(""), "x")
	if _, err := r.PostMessage(r.someone(), newMessage("sess_none", "x")); err == nil {
		t.Error("posted where there is no session")
	}
	if s.loads != 0 {
		t.Errorf("%d snapshots were asked for", s.loads)
	}
}

func TestASnapshotIsSealed(t *testing.T) {
	t.Parallel()
	s := newShelf()
	r := newRig(t, func(o *commands.Options) { o.Snapshots = s })
	id := r.session("")
	must(r.UpdateSession(r.someone(), commands.UpdateSession{SessionID: id, Memory: json.RawMessage(`{"m":"confidential"}`)}))(t)
	r.fill(id, 600)
	r.message(id, "x")
	k := s.await(t, "session-"+id)
	if strings.Contains(string(k.data), "confidential") {
		t.Error("the snapshot shows what events hold sealed")
	}
	plain, err := keys{}.Open(string(k.data))
	if err != nil || !strings.Contains(string(plain), "confidential") {
		t.Errorf("sealed is %s, %v", plain, err)
	}
}

// Deleted, of another build, unreadable or out of reach: the answers are the same
// as with snapshots.
func TestASnapshotChangesNoAnswer(t *testing.T) {
	t.Parallel()
	s := newShelf()
	with := func(o *commands.Options) { o.Snapshots, o.Build = s, "1" }
	r := newRig(t, with)
	id := r.session("")
	finished, open := r.run(id), r.run(id)
	must(r.CancelRun(r.someone(), finished))(t)
	must(r.UpdateSession(r.by(request{key: "early", input: "i"}), commands.UpdateSession{SessionID: id, Title: new("t"), Tags: new([]string{"a"})}))(t)
	r.fill(id, 700)
	r.message(id, "x")
	s.await(t, "session-"+id)
	must(r.UpdateSession(r.by(request{key: "late", input: "i"}), commands.UpdateSession{SessionID: id, Title: new("t2")}))(t)

	hash := s.kept["session-"+id].hash
	without := answers(t, rigOn(t, r.log), id, finished, open)
	if len(without) < 7 {
		t.Fatalf("answers %q", without)
	}
	for name, node := range map[string]func() *rig{
		"in use":           func() *rig { return rigOn(t, r.log, with) },
		"of another build": func() *rig { return rigOn(t, r.log, with, func(o *commands.Options) { o.Build = "2" }) },
		"deleted": func() *rig {
			return rigOn(t, r.log, func(o *commands.Options) { o.Snapshots = newShelf() })
		},
		"unreadable": func() *rig {
			damaged := newShelf()
			damaged.kept["session-"+id] = kept{hash: hash, revision: 700, data: []byte("damaged")}
			return rigOn(t, r.log, func(o *commands.Options) { o.Snapshots, o.Build = damaged, "1" })
		},
		"out of reach": func() *rig {
			away := newShelf()
			away.broken = errors.New("no connection")
			return rigOn(t, r.log, func(o *commands.Options) { o.Snapshots, o.Build = away, "1" })
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answers(t, node(), id, finished, open); !slices.Equal(got, without) {
				t.Errorf("answers\n%q, without\n%q", got, without)
			}
		})
	}
}

// answers are those to commands that change nothing, but show what a state holds.
func answers(t testing.TB, r *rig, id, finished, open string) []string {
	t.Helper()
	var all []string
	add := func(receipt commands.Receipt, err error) {
		all = append(all, fmt.Sprint(receipt.Revision, receipt.Position, receipt.Replayed, encoded(t, receipt), err))
	}
	add(r.UpdateSession(r.someone(), commands.UpdateSession{SessionID: id, Title: new("t2"), Tags: new([]string{"a"}), Memory: json.RawMessage(`{"m":1}`)}))
	add(r.UpdateSession(r.someone(), commands.UpdateSession{SessionID: id, Title: new("x"), Match: new(int64(0))}))
	add(r.CancelRun(r.someone(), finished))
	add(r.UpdateSession(r.by(request{key: "early", input: "i"}), commands.UpdateSession{SessionID: id, Title: new("t")}))
	add(r.UpdateSession(r.by(request{key: "late", input: "i"}), commands.UpdateSession{SessionID: id, Title: new("t2")}))
	add(r.UpdateSession(r.by(request{key: "early", input: "other"}), commands.UpdateSession{SessionID: id, Title: new("t")}))
	add(r.StartRun(r.someone(), newRun(id, "msg_none")))
	_, err := r.Execute(t.Context(), eventlog.Record{Stored: r.requested(id, finished).Stored}, "n")
	add(commands.Receipt{}, err)
	if err := r.Exists(r.someone(), map[string]string{"run_id": open}); err != nil {
		add(commands.Receipt{}, err)
	}
	return all
}

// requested is the record that asks for a run.
func (r *rig) requested(id, run string) eventlog.Record {
	r.t.Helper()
	for _, record := range r.records("session-" + id) {
		if record.Stored.Name == "run.requested" && decoded[eventschema.RunRequested](r.t, record).RunID == run {
			return record
		}
	}
	r.t.Fatalf("%s was never requested", run)
	panic("unreachable")
}

// execute begins an attempt at a run.
func (r *rig) execute(id, run string) *commands.Execution {
	r.t.Helper()
	x, err := r.Execute(r.t.Context(), r.requested(id, run), "node")
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

// A reader that is late, and a completion that turns out to have been appended
// long ago, must not put an old state into the place of a newer one.
func TestTheCacheNeverGoesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	project := r.project()
	id := r.session(project)
	for range 3 {
		r.message(id, "x")
	}
	added := decoded[eventschema.ProjectSessionAdded](t, r.records("project-" + project)[1])
	if again := must(r.StartJournal(r.someone(), added, r.clock.Now()))(t); again.Revision != 0 {
		t.Fatalf("the journal was started at %d", again.Revision)
	}
	before := r.conflicts()
	r.message(id, "x")
	if r.conflicts() != before {
		t.Error("the cache had gone back to the journal's first event")
	}
}

// The cache is bounded by what states really hold.
func TestTheCacheIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *commands.Options) { o.CacheBytes = 100 << 10 })
	memory := json.RawMessage(`{"m":"` + strings.Repeat("x", 60<<10) + `"}`)
	project := r.project()
	ids := []string{r.session(project), r.session(project)}
	for _, id := range ids {
		must(r.UpdateSession(r.someone(), commands.UpdateSession{SessionID: id, Memory: memory}))(t)
	}
	before := r.sum("g4fagent_state_cache_misses_total")
	for range 3 {
		for _, id := range ids {
			r.message(id, "x")
		}
	}
	if misses := r.sum("g4fagent_state_cache_misses_total") - before; misses < 3 {
		t.Errorf("%v misses: two states of 60 KiB fitted into 100", misses)
	}
}

func TestAStreamThatHoldsAStrangersEventStopsLoudly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.session("")
	r.append("session-"+id, 0, eventlog.Meta{At: r.clock.Now()}, eventschema.ProjectDeleted{ProjectID: "p"})
	_, err := rigOn(t, r.log).PostMessage(r.someone(), newMessage(id, "x"))
	if err == nil || errors.Is(err, session.ErrNotFound) || !strings.Contains(err.Error(), "does not belong") {
		t.Errorf("error is %v", err)
	}
}
