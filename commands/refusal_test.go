package commands_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// record runs the recorder of refusals until stop, which waits for it.
func (r *rig) record() (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- r.refusals.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("the recorder ended with %v", err)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

// activity are the hour's facts of one name.
func (r *rig) activity(name string) []eventlog.Record {
	r.t.Helper()
	var found []eventlog.Record
	for _, record := range r.records("activity-" + r.clock.Now().UTC().Format("20060102-15")) {
		if record.Stored.Name == name {
			found = append(found, record)
		}
	}
	return found
}

// from is an anonymous request from an address.
func (r *rig) from(ip string) context.Context {
	return identity.WithRequest(r.t.Context(), identity.Request{ID: "req_1", IP: ip, OperationID: "op", Path: "/me", TraceID: "trace_1"})
}

func TestARefusalIsRecorded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.record()
	r.refusals.AccessDenied(r.from("192.0.2.1"), "unauthorized")
	r.refusals.AccessDenied(r.by(request{user: "user_b", path: "/admin/users"}), "forbidden")
	stop()
	denied := r.activity("access.denied")
	if len(denied) != 2 {
		t.Fatalf("%d records", len(denied))
	}
	m := denied[0].Meta
	if m.IP != "192.0.2.1" || m.RequestID != "req_1" || m.CorrelationID != "trace_1" || m.ActorUserID != "" || m.At.Nanosecond()%1000 != 0 {
		t.Errorf("the first is by %+v", m)
	}
	e := decoded[eventschema.AccessDenied](t, denied[1])
	if e.Code != "forbidden" || e.Path != "/admin/users" || e.Operation != "op" || denied[1].Meta.ActorUserID != "user_b" {
		t.Errorf("the second is %+v by %+v", e, denied[1].Meta)
	}
	if n := len(r.activity("access.refusals_summarized")); n != 0 {
		t.Errorf("%d summaries of nothing", n)
	}
}

// An attacker can neither fill the log nor hide: what has no record of its own is
// counted, exactly.
func TestAFloodOfRefusals(t *testing.T) {
	t.Parallel()
	const flood, seconds = 1000, 5
	r := newRig(t)
	for i := range flood {
		if i > 0 && i%(flood/(seconds+1)) == 0 && i/(flood/(seconds+1)) <= seconds {
			r.clock.pass(time.Second)
		}
		r.refusals.AccessDenied(r.from("192.0.2.1"), "unauthorized")
	}
	r.refusals.AccessDenied(r.from("192.0.2.2"), "unauthorized")
	r.refusals.AccessDenied(r.by(request{}), "forbidden")
	r.record()()
	records := len(r.activity("access.denied"))
	if want := 20 + 10*seconds + 2; records != want {
		t.Errorf("%d records, want %d", records, want)
	}
	summaries := r.activity("access.refusals_summarized")
	if len(summaries) != 1 {
		t.Fatalf("%d summaries", len(summaries))
	}
	e := decoded[eventschema.RefusalsSummarized](t, summaries[0])
	rest := flood + 2 - records
	if len(e.ByAddress) != 1 || e.ByAddress["192.0.2.1"] != rest || len(e.ByCode) != 1 || e.ByCode["unauthorized"] != rest {
		t.Errorf("counted %v and %v, want %d", e.ByAddress, e.ByCode, rest)
	}
	if !e.From.Before(e.To) && !e.From.Equal(e.To) || summaries[0].Meta.ActorKind != "system" {
		t.Errorf("the summary is of %s to %s by %+v", e.From, e.To, summaries[0].Meta)
	}
}

func TestAFloodFromEverywhere(t *testing.T) {
	t.Parallel()
	const addresses = 3000
	r := newRig(t)
	for i := range addresses {
		r.refusals.AccessDenied(r.from(fmt.Sprintf("198.51.%d.%d", i/250, i%250)), "unauthorized")
	}
	r.record()()
	records := len(r.activity("access.denied"))
	if records != 200 {
		t.Errorf("%d records", records)
	}
	e := decoded[eventschema.RefusalsSummarized](t, r.activity("access.refusals_summarized")[0])
	sum := 0
	for _, n := range e.ByAddress {
		sum += n
	}
	if sum != addresses-records || e.ByCode["unauthorized"] != sum || len(e.ByAddress) != 1001 || e.ByAddress["other"] != sum-1000 {
		t.Errorf("counted %d of %d at %d addresses", sum, addresses-records, len(e.ByAddress))
	}
}

// Nobody hides behind a path that cannot be stored, or that is too long for one
// append with others.
func TestAnyPathIsRecorded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	paths := []string{"/a\x00b", "/\xff\xfe", "/" + strings.Repeat("é", 40_000), "/" + strings.Repeat("x", 60_000)}
	for _, path := range paths {
		r.refusals.AccessDenied(r.by(request{path: path}), "forbidden")
	}
	r.record()()
	denied := r.activity("access.denied")
	if len(denied) != len(paths) {
		t.Fatalf("%d of %d are recorded", len(denied), len(paths))
	}
	for _, record := range denied {
		if n := len(decoded[eventschema.AccessDenied](t, record).Path); n > 600 {
			t.Errorf("%d bytes of path are recorded", n)
		}
	}
}

// wall is a log that does not answer until it is opened, or that fails.
type wall struct {
	message.Publisher

	gate chan struct{}
	done chan string // the first id of each call, when it is over

	mu   sync.Mutex
	errs []error // of the next calls
}

func (w *wall) Publish(topic string, messages ...*message.Message) error {
	<-w.gate
	defer func() { w.done <- messages[0].UUID }()
	w.mu.Lock()
	var err error
	if len(w.errs) > 0 {
		err, w.errs = w.errs[0], w.errs[1:]
	}
	w.mu.Unlock()
	if err != nil {
		return err
	}
	return w.Publisher.Publish(topic, messages...)
}

// next waits for the end of one call.
func (w *wall) next(t testing.TB) string {
	t.Helper()
	select {
	case id := <-w.done:
		return id
	case <-time.After(patience):
		t.Fatal("nothing was published")
		return ""
	}
}

// withWall puts a wall before the rig's recorder.
func (r *rig) withWall(open bool, errs ...error) *wall {
	w := &wall{Publisher: eventlog.Publisher{Log: r.log}, gate: make(chan struct{}), done: make(chan string, 1000), errs: errs}
	if open {
		close(w.gate)
	}
	r.refusals = commands.NewRefusals(w, keys{}, r.clock.Now, slog.New(slog.DiscardHandler))
	return w
}

// Whatever the log does, whoever is refused does not wait, and is counted.
func TestARefusalNeverWaits(t *testing.T) {
	t.Parallel()
	const principals, each = 600, 20 // three times what may wait for the log
	r := newRig(t)
	w := r.withWall(false)
	stop := r.record()
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(8, func(i int) {
			for p := i; p < principals; p += 8 {
				for range each {
					r.refusals.AccessDenied(r.by(request{user: fmt.Sprint("user_", p)}), "forbidden")
				}
			}
		})
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("a refusal waited for the log")
	}
	close(w.gate)
	stop()
	records := len(r.activity("access.denied"))
	counted := 0
	for _, record := range r.activity("access.refusals_summarized") {
		counted += decoded[eventschema.RefusalsSummarized](t, record).ByCode["forbidden"]
	}
	if records+counted != principals*each || counted == 0 {
		t.Errorf("%d are recorded and %d counted of %d", records, counted, principals*each)
	}
}

func TestWhatCannotBeRecordedIsCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.withWall(true, errors.New("refused"))
	r.refusals.AccessDenied(r.from("192.0.2.1"), "unauthorized")
	stop := r.record()
	w.next(t) // fails
	r.refusals.AccessDenied(r.from("192.0.2.1"), "forbidden")
	w.next(t) // the log is back
	stop()
	e := decoded[eventschema.RefusalsSummarized](t, r.activity("access.refusals_summarized")[0])
	if e.ByCode["unauthorized"] != 1 || e.ByAddress["192.0.2.1"] != 1 || len(r.activity("access.denied")) != 1 {
		t.Errorf("counted %v", e)
	}
}

// While the log is away refusals wait for it, as the same events.
func TestRefusalsWaitForTheLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.withWall(true, eventlog.ErrUnavailable, eventlog.ErrUnavailable)
	r.refusals.AccessDenied(r.from("192.0.2.1"), "unauthorized")
	stop := r.record()
	ids := []string{w.next(t), w.next(t), w.next(t)}
	stop()
	if ids[0] != ids[1] || ids[1] != ids[2] || len(r.activity("access.denied")) != 1 {
		t.Errorf("tried as %q, recorded %d", ids, len(r.activity("access.denied")))
	}
}

// A summary that could not be recorded is in the next one.
func TestASummaryIsNotLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	flood := func() {
		for range 30 {
			r.refusals.AccessDenied(r.from("192.0.2.1"), "unauthorized")
		}
	}
	r.withWall(true, nil, errors.New("refused"))
	flood()
	r.record()() // records 20, fails to record the summary
	flood()
	r.record()()
	summaries := r.activity("access.refusals_summarized")
	if len(summaries) != 1 {
		t.Fatalf("%d summaries", len(summaries))
	}
	if e := decoded[eventschema.RefusalsSummarized](t, summaries[0]); e.ByCode["unauthorized"] != 40 {
		t.Errorf("counted %v", e.ByCode)
	}
}
