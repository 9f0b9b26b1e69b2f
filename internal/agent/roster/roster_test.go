package roster_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/agent"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/agent/roster"
	"github.com/g4fagent/g4fagent/internal/dialguard"
)

const key = "sk-live-0123456789"

// settings are those of an installation, as a test sets them.
type settings struct {
	mu  sync.Mutex
	by  map[string]roster.Config
	err error
}

func (s *settings) ProviderConfig(_ context.Context, id string) (roster.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.by[id]
	c.ID = id
	return c, s.err
}

func (s *settings) set(id string, c roster.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[id] = c
}

// upstream is a provider in OpenAI's dialect that tests command.
type upstream struct {
	url    string
	offers []string // entries of its list; two models if empty
	lists  atomic.Int64
	down   atomic.Bool
	during func() // runs while a list is asked for
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{during: func() {}}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	u.url = server.URL
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case u.down.Load(), r.Header.Get("Authorization") != "Bearer "+key: // and some do repeat what they refuse
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"error":{"message":"Incorrect API key provided: %s"}}`, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	case strings.HasSuffix(r.URL.Path, "/models"):
		u.lists.Add(1)
		u.during()
		w.Header().Set("Content-Type", "application/json")
		entries := u.offers
		if len(entries) == 0 {
			entries = []string{`{"id":"small","object":"model"}`, `{"id":"large","object":"model","context_length":9}`}
		}
		_, _ = fmt.Fprintf(w, `{"object":"list","data":[%s]}`, strings.Join(entries, ","))
	default:
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}
}

func (u *upstream) config() roster.Config {
	return roster.Config{Enabled: true, Config: provider.Config{BaseURL: u.url, APIKey: key}}
}

// rig is a roster whose settings and clock a test has in hand.
type rig struct {
	*roster.Roster
	settings *settings
	clock    atomic.Int64
}

func newRig() *rig {
	r := &rig{settings: &settings{by: map[string]roster.Config{}}}
	r.Roster = roster.New(roster.Options{
		Settings: r.settings, HTTP: dialguard.Client(dialguard.Policy{AllowLoopback: true}),
		Now: func() time.Time { return time.Unix(1e9, r.clock.Load()) },
	})
	return r
}

func (r *rig) later(d time.Duration) { r.clock.Add(int64(d)) }

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}

func TestClient(t *testing.T) {
	t.Parallel()
	t.Run("is refused for what is unknown, switched off or not set up", func(t *testing.T) {
		t.Parallel()
		r := newRig()
		if _, err := r.Client(t.Context(), "nobody"); !errors.Is(err, agent.ErrProviderNotFound) {
			t.Errorf("unknown: %v", err)
		}
		if _, err := r.Client(t.Context(), "openai"); !errors.Is(err, agent.ErrProviderDisabled) {
			t.Errorf("switched off: %v", err)
		}
		r.settings.set("custom", roster.Config{Enabled: true})
		_, err := r.Client(t.Context(), "custom")
		if e, ok := errors.AsType[*provider.Error](err); !ok || e.Kind != provider.KindInvalid {
			t.Errorf("without a base_url: %v", err)
		}
		r.settings.err = errors.New("the log is away")
		if _, err := r.Client(t.Context(), "openai"); !errors.Is(err, r.settings.err) {
			t.Errorf("without settings: %v", err)
		}
	})
	t.Run("is the same until its configuration changes", func(t *testing.T) {
		t.Parallel()
		r := newRig()
		config := roster.Config{Enabled: true, Config: provider.Config{Headers: map[string]string{"X-A": "1"}}}
		client := func() provider.Client {
			c, err := r.Client(t.Context(), "openai")
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		r.settings.set("openai", config)
		first := client()
		r.settings.set("openai", roster.Config{Enabled: true, Config: provider.Config{Headers: map[string]string{"X-A": "1"}}})
		if client() != first {
			t.Error("an equal configuration made another client")
		}
		config.Headers = map[string]string{"X-A": "2"}
		r.settings.set("openai", config)
		if client() == first {
			t.Error("another configuration has the old client")
		}
	})
}

func ids(models []provider.Model) []string {
	var all []string
	for _, m := range models {
		all = append(all, m.ID)
	}
	return all
}

func TestModels(t *testing.T) {
	t.Parallel()
	list := func(t *testing.T, r *rig, want ...string) {
		t.Helper()
		models, _, err := r.Models(t.Context(), "custom")
		if d := cmp.Diff(want, ids(models)); err != nil || d != "" {
			t.Fatal(err, d)
		}
	}
	t.Run("are asked for once in five minutes, and anew when the configuration changes", func(t *testing.T) {
		t.Parallel()
		u, r := newUpstream(t), newRig()
		r.settings.set("custom", u.config())
		for i, step := range []struct {
			later time.Duration
			asked int64
		}{{0, 1}, {4 * time.Minute, 1}, {2 * time.Minute, 2}} {
			r.later(step.later)
			list(t, r, "large", "small")
			if n := u.lists.Load(); n != step.asked {
				t.Errorf("step %d: asked %d times, want %d", i, n, step.asked)
			}
		}
		config := u.config()
		config.Models = []string{"mine", "large"}
		r.settings.set("custom", config)
		list(t, r, "large", "mine")
		if n := u.lists.Load(); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
	})
	t.Run("of a provider that went away are those it told before, for a day", func(t *testing.T) {
		t.Parallel()
		u, r := newUpstream(t), newRig()
		r.settings.set("custom", u.config())
		list(t, r, "large", "small")
		u.down.Store(true)
		r.later(23 * time.Hour)
		list(t, r, "large", "small")
		if _, told, err := r.Models(t.Context(), "custom"); err != nil || !told.Equal(time.Unix(1e9, 0)) {
			t.Errorf("told at %v, %v", told, err)
		}
		r.later(2 * time.Hour)
		models, _, err := r.Models(t.Context(), "custom")
		if e, ok := errors.AsType[*provider.Error](err); !ok || e.Kind != provider.KindAuth || models != nil {
			t.Errorf("got %v, %v", models, err)
		}
	})
	t.Run("of a provider that cannot be asked are those of the configuration", func(t *testing.T) {
		t.Parallel()
		r := newRig()
		r.settings.set("custom", roster.Config{Enabled: true, Config: provider.Config{BaseURL: closed(t), Models: []string{"b", "a", "b"}}})
		list(t, r, "a", "b")
		if _, told, err := r.Models(t.Context(), "custom"); err != nil || !told.IsZero() {
			t.Errorf("told at %v, %v", told, err)
		}
		r.settings.set("custom", roster.Config{Enabled: true, Config: provider.Config{BaseURL: closed(t)}})
		if _, _, err := r.Models(t.Context(), "custom"); !isNetwork(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("are asked for once by many, and also for those who stay when the first leaves", func(t *testing.T) {
		t.Parallel()
		u, r := newUpstream(t), newRig()
		r.settings.set("custom", u.config())
		entered, goOn := make(chan struct{}), make(chan struct{})
		u.during = func() { close(entered); <-goOn } // a second request would close twice and fail
		leaving, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { _, _, err := r.Models(leaving, "custom"); left <- err }()
		<-entered
		stayed := make(chan error, 1)
		go func() {
			models, _, err := r.Models(t.Context(), "custom")
			if len(models) != 2 && err == nil {
				err = fmt.Errorf("got %v", ids(models))
			}
			stayed <- err
		}()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		close(goOn)
		if err := <-stayed; err != nil {
			t.Error(err)
		}
	})
}

func isNetwork(err error) bool {
	e, ok := errors.AsType[*provider.Error](err)
	return ok && e.Kind == provider.KindNetwork
}
