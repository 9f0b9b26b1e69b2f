package logcopy_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/logcopy"
)

// side is a server, its store and the official client for everything else.
type side struct {
	t      *testing.T
	node   *esnodetest.Node
	store  *logcopy.Store
	client *esdb.Client
}

func newSide(t *testing.T, configure ...func(*esnode.Options)) *side {
	t.Helper()
	s := &side{t: t, node: esnodetest.Start(t, configure...)}
	s.store = s.open()
	s.client = s.node.Client(t)
	return s
}

// open makes one more store of the server.
func (s *side) open() *logcopy.Store {
	s.t.Helper()
	store, err := logcopy.Open(logcopy.Where{Address: s.node.Addr()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := store.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return store
}

func event(name string) esdb.EventData {
	return esdb.EventData{
		EventID: uuid.New(), EventType: name, ContentType: esdb.ContentTypeJson,
		Data: fmt.Appendf(nil, `{ "name" : %q,"n":12345678901234567890}`, name), Metadata: []byte(`{"ts":"2026-01-02T03:04:05Z" , "b":1,"a":2}`),
	}
}

func (s *side) append(stream string, events ...esdb.EventData) {
	s.t.Helper()
	if _, err := s.client.AppendToStream(s.t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, events...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *side) metadata(stream, data string) {
	s.t.Helper()
	s.append("$$"+stream, esdb.EventData{EventID: uuid.New(), EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(data)})
}

func (s *side) tombstone(stream string) {
	s.t.Helper()
	if _, err := s.client.TombstoneStream(s.t.Context(), stream, esdb.TombstoneStreamOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// all is the whole log, one line an event, but for what a name begins with.
func (s *side) all(without string) []string {
	s.t.Helper()
	page, err := s.client.ReadAll(s.t.Context(), esdb.ReadAllOptions{}, math.MaxUint64)
	if err != nil {
		s.t.Fatal(err)
	}
	defer page.Close()
	var lines []string
	for {
		e, err := page.Recv()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			s.t.Fatal(err)
		}
		r := e.Event
		if strings.HasPrefix(r.StreamID, without) {
			continue
		}
		id := r.EventID.String()
		if strings.HasPrefix(r.EventType, "$") {
			id = "" // the server's own
		}
		lines = append(lines, fmt.Sprintf("%s@%d %s %s %s %q %q", r.StreamID, r.EventNumber, id, r.EventType, r.ContentType, r.Data, r.UserMetadata))
	}
}

// read is what a stream reads as.
func (s *side) read(stream string) (lines []string, failure string) {
	s.t.Helper()
	page, err := s.client.ReadStream(s.t.Context(), stream, esdb.ReadStreamOptions{From: esdb.Start{}}, math.MaxUint64)
	if err != nil {
		s.t.Fatal(err)
	}
	defer page.Close()
	for {
		e, err := page.Recv()
		if errors.Is(err, io.EOF) {
			return lines, ""
		}
		if err != nil {
			return lines, err.Error()
		}
		lines = append(lines, fmt.Sprintf("%d %s", e.Event.EventNumber, e.Event.EventID))
	}
}

var names = []string{"a", "b", "c-1", "c-2", "d", "e"}

// fill writes whatever a log can hold.
func (s *side) fill(seed uint64, steps int) {
	s.t.Helper()
	random := rand.New(rand.NewPCG(seed, 7))
	closed := map[string]bool{}
	for i := range steps {
		stream := names[random.IntN(len(names))]
		if closed[stream] {
			stream = fmt.Sprintf("more-%d", i)
		}
		switch n := random.IntN(40); {
		case n == 0 && i > steps/2:
			s.tombstone(stream)
			closed[stream] = true
		case n < 3:
			if _, err := s.client.DeleteStream(s.t.Context(), stream, esdb.DeleteStreamOptions{}); err != nil {
				s.append(stream, event("made")) // there was nothing to delete
			}
		case n < 5:
			s.metadata(stream, fmt.Sprintf(`{"$maxAge":%d, "$acl":{"$r":"$all"},"mine":[%d]}`, 100000+i, i))
		case n < 7:
			binary := esdb.EventData{EventID: uuid.New(), EventType: "binary", ContentType: esdb.ContentTypeBinary, Data: []byte{0, 255, 1}, Metadata: []byte("not JSON")}
			bare := esdb.EventData{EventID: uuid.New(), EventType: "bare", ContentType: esdb.ContentTypeJson}
			s.append(stream, binary, bare)
		default:
			events := make([]esdb.EventData, 1+random.IntN(4))
			for j := range events {
				events[j] = event(fmt.Sprintf("e%d", i))
			}
			s.append(stream, events...)
		}
	}
}

// wantCopy compares what the two sides answer.
func wantCopy(t *testing.T, from, to *side) {
	t.Helper()
	a, b := from.all("$copy-"), to.all("$copy-")
	if len(a) != len(b) {
		t.Fatalf("%d events became %d", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("event %d is\n%s\nwas\n%s", i, b[i], a[i])
		}
	}
	for _, stream := range names {
		for _, name := range []string{stream, "$$" + stream} {
			x, xErr := from.read(name)
			y, yErr := to.read(name)
			if name == stream && fmt.Sprint(x) != fmt.Sprint(y) || len(x) != len(y) || xErr != yErr {
				t.Errorf("%s reads %v %s, was %v %s", name, y, yErr, x, xErr)
			}
		}
	}
}

func mustCopy(t *testing.T, from, to *side) logcopy.Report {
	t.Helper()
	report, err := logcopy.Copy(t.Context(), from.store, to.store, logcopy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}
