package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/g4fagent/g4fagent/api"
)

// beside is what stands beside the API.
func (s *system) beside(r prometheus.Registerer) map[string]http.Handler {
	handlers := map[string]http.Handler{
		"/livez":  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]bool{"ok": true}) }),
		"/readyz": http.HandlerFunc(s.readyz),
	}
	maps.Copy(handlers, api.Pages())
	if gatherer, ok := r.(prometheus.Gatherer); ok {
		handlers["/metrics"] = promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{})
	}
	return handlers
}

// readyz tells a load balancer whether to send requests here.
func (s *system) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkWithin)
	defer cancel()
	ready := s.log.Up() && s.db.Health(ctx) == nil && s.feed.Silent() == 0 && s.showsTheLog(ctx)
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, map[string]bool{"ok": ready})
}

// showsTheLog reports whether the read models have, since this server started,
// once shown all that the log held. It stays true: a read model that is stuck is
// for an operator to see, and taking nodes away would only make it worse.
func (s *system) showsTheLog(ctx context.Context) bool {
	if s.caughtUp.Load() {
		return true
	}
	there := s.engine.CaughtUp()
	if !there && s.engine.Status() == nil { // another node applies the events
		_, err := s.awaiter.Wait(ctx, s.feed.Position(), projectorNames())
		// Only if that is so to its end: this node's engine may just have begun.
		there = err == nil && ctx.Err() == nil && s.engine.Status() == nil
	}
	if there {
		s.caughtUp.Store(true)
	}
	return there
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		slog.Debug("answer not written", slog.Any("error", err))
	}
}

const checkWithin = 2 * time.Second

// checks asks everything that the server depends on.
func (s *system) checks(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	checks := map[string]error{"postgres": nil, "event_log": nil, "feed": nil}
	if s.db.Health(ctx) != nil {
		checks["postgres"] = errors.New("does not answer")
	}
	if !s.log.Up() {
		checks["event_log"] = errors.New("does not answer")
	}
	if s.node != nil {
		checks["disk"] = nil
		if s.node.Space().Refusing {
			checks["disk"] = errors.New("is nearly full: commands are refused until there is room again")
		}
	}
	if silent := s.feed.Silent(); silent > 0 {
		checks["feed"] = fmt.Errorf("has not seen the log for %s", silent.Round(time.Second))
	}
	for _, st := range s.engine.Status() {
		checks["read_model_"+st.Name] = nil
		if st.Stuck != nil {
			checks["read_model_"+st.Name] = fmt.Errorf("is stuck at %s (%s) since %s", st.Stuck.Position, st.Stuck.Event, st.Stuck.Since.Format(time.RFC3339))
		}
	}
	for _, st := range s.reactors.Status() {
		checks["reactor_"+st.Name] = nil
		if st.Stuck != nil {
			checks["reactor_"+st.Name] = fmt.Errorf("is stuck at %s since %s", st.Stuck.Event, st.Stuck.Since.Format(time.RFC3339))
		}
	}
	return checks
}
