package httpx

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/fault"
)

// blocking makes the rig's handlers wait: each says on entered that it is there,
// and goes on when go is closed or its context ends.
func blocking(r *rig) (entered chan string, proceed chan struct{}) {
	entered, proceed = make(chan string, 100), make(chan struct{})
	r.act = func(ctx context.Context, w http.ResponseWriter, req *http.Request) error {
		entered <- req.URL.Path
		select {
		case <-proceed:
			return reply(w, "{}")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return entered, proceed
}

func TestOverload(t *testing.T) {
	t.Parallel()
	small := func(o *Options) { o.Limits.Requests, o.Limits.Commands, o.Limits.Streams = 2, 1, 1 }
	// hold sends a request and waits until its handler has it.
	hold := func(t *testing.T, r *rig, entered chan string, method, path string) <-chan answer {
		t.Helper()
		done := make(chan answer, 1)
		go func() { done <- r.do(t, method, path, "") }()
		within(t, "the handler", entered)
		return done
	}

	t.Run("of commands leaves room for reads", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, small)
		entered, proceed := blocking(r)
		first := hold(t, r, entered, "DELETE", "/api/v1/things/t1")
		got := r.do(t, "DELETE", "/api/v1/things/t2", "")
		if e := got.is(t, 503, "unavailable"); !e.Retryable || got.header.Get("Retry-After") != "1" {
			t.Errorf("%+v, %v", e, got.header)
		}
		read := hold(t, r, entered, "GET", "/api/v1/things")
		r.do(t, "GET", "/api/v1/things", "").is(t, 503, "unavailable")
		close(proceed)
		within(t, "the command", first).ok(t)
		within(t, "the read", read).ok(t)
		r.do(t, "DELETE", "/api/v1/things/t2", "").ok(t)
		if commands, requests := counted(t, r, "g4fagent_http_full_total", "bound", "commands"), counted(t, r, "g4fagent_http_full_total", "bound", "requests"); commands != 1 || requests != 1 {
			t.Errorf("counted %v commands, %v requests", commands, requests)
		}
		if used := counted(t, r, "g4fagent_http_in_use"); used != 0 {
			t.Errorf("%v in use at the end", used)
		}
	})

	t.Run("of streams is counted apart", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, small)
		entered, proceed := blocking(r)
		stream := hold(t, r, entered, "GET", "/api/v1/stream/t1")
		r.do(t, "GET", "/api/v1/stream/t2", "").is(t, 503, "unavailable")
		one, two := hold(t, r, entered, "GET", "/api/v1/things"), hold(t, r, entered, "DELETE", "/api/v1/things/t1")
		close(proceed)
		for _, done := range []<-chan answer{stream, one, two} {
			within(t, "an answer", done).ok(t)
		}
	})
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	short := func(o *Options) { o.Limits.Operation = 20 * time.Millisecond }

	t.Run("ends an operation with 503", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, short)
		blocking(r)
		got := r.do(t, "GET", "/api/v1/things", "")
		if e := got.is(t, 503, "unavailable"); e.Message != errTooSlow.Text || got.header.Get("Retry-After") == "" {
			t.Errorf("%+v", e)
		}
	})

	t.Run("ends no stream", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, short)
		var deadline bool
		r.act = func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
			_, deadline = ctx.Deadline()
			return reply(w, "{}")
		}
		r.do(t, "GET", "/api/v1/stream/t1", "").ok(t)
		if deadline {
			t.Error("a stream has a deadline")
		}
	})

	t.Run("of an upload begins anew with each part of it", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, short)
		blocking(r)
		if e := r.do(t, "PUT", "/api/v1/uploads/u1", "abc").is(t, 503, "unavailable"); e.Message != errTooSlow.Text {
			t.Errorf("%+v", e)
		}
	})

	t.Run("is not mistaken for the client's leaving", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		entered, _ := blocking(r)
		ctx, leave := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.listen(t)+"/api/v1/things", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer admin-token")
		done := make(chan error, 1)
		go func() {
			res, err := http.DefaultClient.Do(req)
			if err == nil {
				_ = res.Body.Close()
			}
			done <- err
		}()
		within(t, "the handler", entered)
		leave()
		if err := within(t, "the client", done); err == nil {
			t.Error("the client got an answer")
		}
		eventually(t, "the count of those who left", func() bool {
			return counted(t, r, "g4fagent_http_requests_total", "status", "499", "operation", "get_things") == 1
		})
		if line := r.log.lines(t)[0]; line["client_left"] != true || line["level"] != "INFO" {
			t.Errorf("line %v", line)
		}
	})
}

func TestMinPosition(t *testing.T) {
	t.Parallel()
	ahead := fault.New(fault.Invalid, "invalid_request", "The log is not that far.")
	var asked []string
	r := newRig(t, func(o *Options) {
		o.Hooks.AwaitPosition = func(ctx context.Context, raw string) error {
			asked = append(asked, raw)
			switch raw {
			case "9/9":
				return ahead
			case "bug":
				return context.Canceled
			}
			Header(ctx).Set("X-Read-Model", "lagging")
			return nil
		}
	})
	got := r.do(t, "GET", "/api/v1/things", "", "X-Min-Position", "1/1")
	got.ok(t)
	if got.header.Get("X-Read-Model") != "lagging" {
		t.Errorf("headers %v", got.header)
	}
	r.do(t, "GET", "/api/v1/things", "", "X-Min-Position", "9/9").is(t, 400, "invalid_request")
	r.do(t, "GET", "/api/v1/things", "", "X-Min-Position", "bug").is(t, 500, "internal_error")
	r.do(t, "GET", "/api/v1/things", "").ok(t)
	r.do(t, "DELETE", "/api/v1/things/t1", "", "X-Min-Position", "9/9").ok(t) // a command waits for its own
	r.do(t, "GET", "/api/v1/things", "", "X-Min-Position", "1/1", "Authorization", "").is(t, 401, "unauthorized")
	if len(asked) != 3 {
		t.Errorf("asked for %v", asked)
	}
}
