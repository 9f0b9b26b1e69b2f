package esnode_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
)

// childVariable, when set, makes the test binary a node in the folder it names,
// for TestKill to kill.
const childVariable = "ESNODE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		runChild(dir)
	}
	os.Exit(m.Run())
}

func runChild(dir string) {
	node, err := esnode.Start(context.Background(), esnode.Options{
		Dir: filepath.Join(dir, "log"), Listen: "unix:" + filepath.Join(dir, "s"),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	// The parent's end closes the child's input, so that no child outlives it.
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = node.Close(context.Background())
	os.Exit(0)
}

const (
	killRounds  = 50
	killWriters = 8
)

// TestKill kills a node's process again and again under writers and a
// subscriber. What was acknowledged is there once, at its revision and position;
// what a subscriber saw is still there; batches are whole or absent; the log is
// a continuation of the one before; and an append whose answer was lost lands
// once when it is repeated.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := esnodetest.SocketDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	k := &killTest{random: rand.New(rand.NewPCG(3, 4))}
	for w := range killWriters {
		k.writers = append(k.writers, &killWriter{stream: fmt.Sprintf("writer-%d", w), random: rand.New(rand.NewPCG(5, uint64(w)))})
	}
	addr := "unix:" + filepath.Join(dir, "s")
	for round := range killRounds {
		child := startChild(ctx, t, dir)
		k.verify(ctx, t, round, addr)
		k.run(ctx, t, addr, child)
		if t.Failed() {
			return
		}
	}
	last := startChild(ctx, t, dir)
	k.verify(ctx, t, killRounds, addr)
	if err := last.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = last.Wait() // it was killed
	acknowledged := 0
	for _, w := range k.writers {
		acknowledged += len(w.acknowledged)
	}
	if acknowledged < killRounds*killWriters {
		t.Errorf("only %d appends were acknowledged: this proves little", acknowledged)
	}
}

func startChild(ctx context.Context, t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childVariable+"="+dir)
	child.Stderr = os.Stderr
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	return child
}

// place is an event's place in the log.
type place struct {
	id       uuid.UUID
	stream   string
	revision uint64
	position uint64
}

type killTest struct {
	random  *rand.Rand
	writers []*killWriter
	log     []place // as read after the last restart
	seen    []place // by the subscriber since, and before
}

type killWriter struct {
	stream       string
	random       *rand.Rand
	next         uint64 // revision
	open         int    // events of an append whose answer was lost
	batches      []int  // the sizes of the batches that are or may be there
	acknowledged map[uint64]uint64
}

// eventID is a function of the place, so that repetitions repeat it.
func (w *killWriter) eventID(revision uint64) (id uuid.UUID) {
	id[0] = 1
	copy(id[1:8], w.stream[len(w.stream)-1:])
	binary.BigEndian.PutUint64(id[8:], revision)
	return id
}

// run lets writers and a subscriber work until the child is killed.
func (k *killTest) run(ctx context.Context, t *testing.T, addr string, child *exec.Cmd) {
	t.Helper()
	var running sync.WaitGroup
	enough := make(chan struct{}, killWriters*1000)
	// A client for each writer: the official one can hang when several calls
	// meet a server that is gone.
	for _, w := range k.writers {
		client := esnodetest.Client(t, addr)
		running.Go(func() { w.write(ctx, client, enough) })
	}
	client := esnodetest.Client(t, addr)
	running.Go(func() { k.subscribe(ctx, client) })

	for range 10 + k.random.IntN(90) {
		select {
		case <-enough:
		case <-ctx.Done():
			t.Error("the writers are too slow")
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait() // it was killed
	running.Wait()
}

// write appends batches until an append fails.
func (w *killWriter) write(ctx context.Context, client *esdb.Client, done chan<- struct{}) {
	if w.acknowledged == nil {
		w.acknowledged = map[uint64]uint64{}
	}
	for {
		n := w.open
		if n == 0 {
			n = 1 + w.random.IntN(4)
			w.batches = append(w.batches, n)
		}
		events := make([]esdb.EventData, n)
		for i := range events {
			events[i] = event(strconv.FormatUint(w.next+uint64(i), 10))
			events[i].EventID = w.eventID(w.next + uint64(i))
		}
		var expected esdb.ExpectedRevision = esdb.NoStream{}
		if w.next > 0 {
			expected = esdb.Revision(w.next - 1)
		}
		w.open = n
		result, err := client.AppendToStream(ctx, w.stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events...)
		if err != nil {
			return
		}
		w.open = 0
		w.next += uint64(n)
		w.acknowledged[result.NextExpectedVersion] = result.CommitPosition
		done <- struct{}{}
	}
}

// subscribe notes what it sees, from where it was.
func (k *killTest) subscribe(ctx context.Context, client *esdb.Client) {
	options := esdb.SubscribeToAllOptions{From: esdb.Start{}}
	if n := len(k.seen); n > 0 {
		options.From = esdb.Position{Commit: k.seen[n-1].position, Prepare: k.seen[n-1].position}
	}
	sub, err := client.SubscribeToAll(ctx, options)
	if err != nil {
		return
	}
	defer func() { _ = sub.Close() }()
	for {
		e := sub.Recv()
		if e.SubscriptionDropped != nil {
			return
		}
		if e.EventAppeared != nil {
			k.seen = append(k.seen, placeOf(e.EventAppeared.Event))
		}
	}
}

func placeOf(e *esdb.RecordedEvent) place {
	return place{id: e.EventID, stream: e.StreamID, revision: e.EventNumber, position: e.Position.Commit}
}

// verify reads the log after a restart.
func (k *killTest) verify(ctx context.Context, t *testing.T, round int, addr string) {
	t.Helper()
	client := esnodetest.Client(t, addr)
	events, err := collect(client.ReadAll(ctx, esdb.ReadAllOptions{From: esdb.Start{}}, everything))
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	log := make([]place, len(events))
	streams := map[string][]place{}
	for i, e := range events {
		log[i] = placeOf(e.Event)
		streams[log[i].stream] = append(streams[log[i].stream], log[i])
	}
	wantPrefix(t, fmt.Sprintf("round %d: the log before", round), k.log, log)
	wantPrefix(t, fmt.Sprintf("round %d: what the subscriber saw", round), k.seen, log)
	for _, w := range k.writers {
		w.verify(t, round, streams[w.stream])
	}
	k.log = log
}

func wantPrefix(t *testing.T, what string, prefix, log []place) {
	t.Helper()
	if len(prefix) > len(log) {
		t.Fatalf("%s had %d events, %d are left", what, len(prefix), len(log))
	}
	for i, p := range prefix {
		if log[i] != p {
			t.Fatalf("%s had %+v where %+v is now", what, p, log[i])
		}
	}
}

func (w *killWriter) verify(t *testing.T, round int, events []place) {
	t.Helper()
	for i, e := range events {
		if e.revision != uint64(i) || e.id != w.eventID(uint64(i)) {
			t.Fatalf("round %d: %s has %+v as event %d", round, w.stream, e, i)
		}
	}
	for revision, position := range w.acknowledged {
		if revision >= uint64(len(events)) || events[revision].position != position {
			t.Fatalf("round %d: revision %d of %s was acknowledged at %d, %d events are there", round, revision, w.stream, position, len(events))
		}
	}
	whole := 0
	for _, n := range w.batches {
		if whole == len(events) {
			break
		}
		whole += n
	}
	if whole != len(events) {
		t.Fatalf("round %d: %s has %d events, a batch ends at %d", round, w.stream, len(events), whole)
	}
}
