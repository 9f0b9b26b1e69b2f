package provider_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent/provider"
)

// patient is a server that says events and then nothing until the client leaves,
// which it tells.
func patient(t *testing.T, events ...string) (url string, left <-chan time.Time) {
	t.Helper()
	gone := make(chan time.Time, 1)
	url = fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // net/http watches for a disconnect once the body is read
		if len(events) > 0 {
			sse(w, events...)
		}
		<-r.Context().Done()
		gone <- time.Now()
	})
	return url, gone
}

func await(t *testing.T, left <-chan time.Time) time.Time {
	t.Helper()
	select {
	case at := <-left:
		return at
	case <-time.After(10 * time.Second):
		t.Fatal("the server never saw the client leave")
		return time.Time{}
	}
}

// tolerance is how soon a provider must see that an answer is not wanted any more.
const tolerance = 500 * time.Millisecond

func TestCancelingEndsTheRequest(t *testing.T) {
	t.Parallel()
	for _, dialect := range dialects {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			url, left := patient(t, text(dialect, "Hel"))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var canceled time.Time
			var last error
			for chunk, err := range newClient(t, provider.Config{ID: dialect, BaseURL: url}).Stream(ctx, hello()) {
				last = err
				if chunk.Text == "Hel" {
					canceled = time.Now()
					cancel()
				}
			}
			if e := fault(t, last); e.Kind != provider.KindCanceled || !errors.Is(last, context.Canceled) || e.Retryable() {
				t.Errorf("got %+v", e)
			}
			took := await(t, left).Sub(canceled)
			t.Logf("the server saw it after %s", took)
			if took > tolerance {
				t.Errorf("the server saw it after %s", took)
			}
		})
	}
}

func TestCancelingBeforeTheFirstByteEndsTheRequest(t *testing.T) {
	t.Parallel()
	for _, dialect := range dialects {
		arrived, left := make(chan struct{}), make(chan time.Time, 1)
		url := fake(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			close(arrived)
			<-r.Context().Done()
			left <- time.Now()
		})
		ctx, cancel := context.WithCancel(t.Context())
		canceled := make(chan time.Time, 1)
		go func() {
			<-arrived
			canceled <- time.Now()
			cancel()
		}()
		c := newClient(t, provider.Config{ID: dialect, BaseURL: url})
		for _, err := range c.Stream(ctx, hello()) {
			if e := fault(t, err); e.Kind != provider.KindCanceled {
				t.Errorf("%s: got %+v", dialect, e)
			}
		}
		if took := await(t, left).Sub(<-canceled); took > tolerance {
			t.Errorf("%s: the server saw it after %s", dialect, took)
		}
	}
}

func TestLeavingTheLoopEndsTheRequest(t *testing.T) {
	t.Parallel()
	for _, dialect := range dialects {
		url, left := patient(t, text(dialect, "Hel"))
		var when time.Time
		for _, err := range newClient(t, provider.Config{ID: dialect, BaseURL: url}).Stream(t.Context(), hello()) {
			if err != nil {
				t.Fatal(err)
			}
			when = time.Now()
			break
		}
		if took := await(t, left).Sub(when); took > tolerance {
			t.Errorf("%s: the server saw it after %s", dialect, took)
		}
	}
}

func TestSilenceIsATimeout(t *testing.T) {
	t.Parallel()
	for _, dialect := range dialects {
		url, left := patient(t, text(dialect, "Hel"))
		got, err := read(t, newClient(t, provider.Config{ID: dialect, BaseURL: url, IdleTimeout: 200 * time.Millisecond}), hello())
		if e := fault(t, err); e.Kind != provider.KindTimeout || !e.Retryable() || got.text != "Hel" || !strings.Contains(e.Message, "silent") {
			t.Errorf("%s: after %q got %+v", dialect, got.text, e)
		}
		await(t, left)

		url, left = patient(t)
		_, err = read(t, newClient(t, provider.Config{ID: dialect, BaseURL: url, StartTimeout: 50 * time.Millisecond}), hello())
		if e := fault(t, err); e.Kind != provider.KindTimeout || !strings.Contains(e.Message, "silent") {
			t.Errorf("%s, no response: got %+v", dialect, e)
		}
		await(t, left)
	}
}

// TestASlowReaderIsNotTheProvidersSilence takes longer over a chunk than the idle
// timeout; the rest has long arrived.
func TestASlowReaderIsNotTheProvidersSilence(t *testing.T) {
	t.Parallel()
	const idle = 100 * time.Millisecond
	url := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		sse(w, text("custom", "Hel"), text("custom", "lo"))
		sse(w, ending("custom")...)
	})
	var whole strings.Builder
	for chunk, err := range newClient(t, provider.Config{ID: "custom", BaseURL: url, IdleTimeout: idle}).Stream(t.Context(), hello()) {
		if err != nil {
			t.Fatal(err)
		}
		whole.WriteString(chunk.Text)
		<-time.After(2 * idle)
	}
	if whole.String() != "Hello" {
		t.Errorf("got %q", whole.String())
	}
}

func TestCommentsAreSignsOfLife(t *testing.T) {
	t.Parallel()
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		sse(w)
		tick := time.NewTicker(15 * time.Millisecond)
		defer tick.Stop()
		for range 50 {
			_, _ = io.WriteString(w, ": OPENROUTER PROCESSING\n\n")
			w.(http.Flusher).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
		sse(w, append([]string{text("custom", "Hi")}, ending("custom")...)...)
	})
	got, err := read(t, newClient(t, provider.Config{ID: "custom", BaseURL: url, IdleTimeout: 400 * time.Millisecond}), hello())
	if err != nil || got.text != "Hi" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestADeadlineIsATimeout(t *testing.T) {
	t.Parallel()
	url, left := patient(t, text("custom", "Hel"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, err := range newClient(t, provider.Config{ID: "custom", BaseURL: url}).Stream(ctx, hello()) {
		if err != nil && (fault(t, err).Kind != provider.KindTimeout || !errors.Is(err, context.DeadlineExceeded)) {
			t.Errorf("got %v", err)
		}
	}
	await(t, left)
}

// endless writes what next gives until the client leaves.
func endless(t *testing.T, contentType string, next func() string) (url string, left <-chan time.Time) {
	t.Helper()
	gone := make(chan time.Time, 1)
	return fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, next()); err != nil {
				break
			}
		}
		gone <- time.Now()
	}), gone
}

//nolint:paralleltest // each looks at the heap, which is the whole process's
func TestProvidersThatNeverEndAreCutOff(t *testing.T) {
	filler := strings.Repeat("x", 16<<10)
	tests := []struct {
		name, contentType string
		next              func(dialect string) string
	}{
		{"one line", "text/event-stream", func(string) string { return filler }},
		{"one event of many lines", "text/event-stream", func(string) string { return "data: " + filler + "\n" }},
		{"one event of many small lines", "text/event-stream", func(string) string { return strings.Repeat("data:\r\n", 100) }},
		{"one name of an event", "text/event-stream", func(string) string { return "event: " + filler + "\n" }},
		{"one answer", "text/event-stream", func(d string) string {
			return "event: content_block_delta\ndata: " + text(d, filler) + "\n\n"
		}},
		{"one error", "application/json", func(string) string { return filler }},
		{"one web page", "text/html", func(string) string { return filler }},
	}
	for _, dialect := range dialects {
		for _, tt := range tests {
			t.Run(dialect+": "+tt.name, func(t *testing.T) {
				before := heap()
				var peak atomic.Uint64
				writes := 0
				url, left := endless(t, tt.contentType, func() string {
					if writes++; writes%32 == 0 {
						peak.Store(max(peak.Load(), heap()))
					}
					return tt.next(dialect)
				})
				_, err := readQuietly(t.Context(), newClient(t, provider.Config{ID: dialect, BaseURL: url}))
				if e := fault(t, err); e.Kind != provider.KindProtocol || e.Retryable() || len(e.Message) > 2000 {
					t.Errorf("got %+v", e)
				}
				await(t, left)
				if p := peak.Load(); p > before+64<<20 {
					t.Errorf("the heap grew from %d to %d MiB", before>>20, p>>20)
				}
			})
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// readQuietly counts what comes without keeping it.
func readQuietly(ctx context.Context, c provider.Client) (int, error) {
	n := 0
	for chunk, err := range c.Stream(ctx, hello()) {
		if err != nil {
			return n, err
		}
		n += len(chunk.Text)
	}
	return n, nil
}

func TestAListThatNeverEndsIsCutOff(t *testing.T) {
	t.Parallel()
	for _, dialect := range dialects {
		url, left := endless(t, "application/json", func() string { return strings.Repeat(`{"id":"x"},`, 1000) })
		err := newClient(t, provider.Config{ID: dialect, BaseURL: url}).Ping(t.Context())
		if e := fault(t, err); e.Kind != provider.KindProtocol {
			t.Errorf("%s: got %+v", dialect, e)
		}
		await(t, left)
	}
}

func TestALongAnswerIsNotCutOff(t *testing.T) {
	t.Parallel()
	piece := strings.Repeat("word ", 200)
	for _, newline := range []string{"\n", "\r\n"} {
		url := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 3000 {
				_, _ = fmt.Fprintf(w, "data: %s%s%s", text("custom", piece), newline, newline)
			}
			sse(w, ending("custom")...)
		})
		n, err := readQuietly(t.Context(), newClient(t, provider.Config{ID: "custom", BaseURL: url}))
		if err != nil || n != 3000*len(piece) {
			t.Errorf("%q: got %d bytes, %v", newline, n, err)
		}
	}
}
