package httpx

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
)

func TestAccess(t *testing.T) {
	t.Parallel()

	t.Run("takes a bearer token, its scheme in any case", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for _, header := range []string{"Bearer admin-token", "bearer admin-token", "BEARER  admin-token"} {
			r.do(t, "GET", "/api/v1/things", "", "Authorization", header).ok(t)
		}
	})

	t.Run("refuses everything else alike", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for header, challenge := range map[string]string{
			"":                      `Bearer realm="g4fagent"`,
			"Bearer":                `Bearer realm="g4fagent", error="invalid_token"`,
			"Bearer other":          `Bearer realm="g4fagent", error="invalid_token"`,
			"Basic YWRtaW46YWRtaW4": `Bearer realm="g4fagent", error="invalid_token"`,
			"admin-token":           `Bearer realm="g4fagent", error="invalid_token"`,
		} {
			got := r.do(t, "GET", "/api/v1/things", "", "Authorization", header)
			e := got.is(t, http.StatusUnauthorized, "unauthorized")
			if e.Message != ErrUnauthorized.Text || got.header.Get("WWW-Authenticate") != challenge {
				t.Errorf("%q: %q, %q", header, e.Message, got.header.Get("WWW-Authenticate"))
			}
		}
	})

	t.Run("refuses two tokens", func(t *testing.T) {
		t.Parallel()
		shown := http.Header{"Authorization": {"Bearer admin-token", "Bearer viewer-token"}}
		if got := bearer(shown); got != "" {
			t.Errorf("took %q", got)
		}
	})

	t.Run("holds the principal's roles against the operation", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "GET", "/api/v1/things", "", "Authorization", "Bearer viewer-token").ok(t)
		r.do(t, "DELETE", "/api/v1/things/t1", "", "Authorization", "Bearer viewer-token").is(t, http.StatusForbidden, "forbidden")
		r.do(t, "POST", "/api/v1/things", "{", "Authorization", "Bearer viewer-token").is(t, http.StatusForbidden, "forbidden")
	})

	t.Run("does not let an anonymous principal in, whatever the hook says", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(o *Options) {
			o.Hooks.Authenticate = func(context.Context, Credentials) (identity.Principal, error) {
				return identity.Principal{Roles: []string{"admin"}}, nil
			}
		})
		r.do(t, "GET", "/api/v1/things", "").is(t, http.StatusUnauthorized, "unauthorized")
		r.do(t, "GET", "/api/v1/", "").ok(t)
	})

	t.Run("public operations know who asks, if that can be known", func(t *testing.T) {
		t.Parallel()
		for header, want := range map[string]string{"": "", "Bearer other": "", "Bearer viewer-token": "user_viewer"} {
			r := newRig(t)
			got := "nobody asked"
			r.act = func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
				got = identity.PrincipalOf(ctx).UserID
				return reply(w, "{}")
			}
			r.do(t, "GET", "/api/v1/", "", "Authorization", header).ok(t)
			if got != want {
				t.Errorf("%q acts as %q, want %q", header, got, want)
			}
		}
	})

	t.Run("takes a ticket at the stream it is bound to, and nowhere else", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.do(t, "GET", "/api/v1/stream/t1?ticket="+rigTicket, "", "Authorization", "").ok(t)
		r.do(t, "GET", "/api/v1/stream/t2?ticket="+rigTicket, "", "Authorization", "").is(t, http.StatusUnauthorized, "unauthorized")
		r.do(t, "GET", "/api/v1/things?ticket="+rigTicket, "", "Authorization", "").is(t, http.StatusUnauthorized, "unauthorized")
		r.do(t, "GET", "/api/v1/stream/t1?ticket="+rigTicket, "", "Authorization", "Bearer other").is(t, http.StatusUnauthorized, "unauthorized")
	})

	t.Run("answers for a hook that fails", func(t *testing.T) {
		t.Parallel()
		var failure error
		r := newRig(t, func(o *Options) {
			o.Hooks.Authenticate = func(context.Context, Credentials) (identity.Principal, error) { return identity.Principal{}, failure }
		})
		failure = fault.New(fault.Unavailable, "unavailable", "The log is not followed.")
		r.do(t, "GET", "/api/v1/things", "").is(t, http.StatusServiceUnavailable, "unavailable")
		failure = errors.New("a bug")
		r.do(t, "GET", "/api/v1/things", "").is(t, http.StatusInternalServerError, "internal_error")
		r.do(t, "GET", "/api/v1/", "").ok(t)
	})

	t.Run("tells the hook who was refused what, once", func(t *testing.T) {
		t.Parallel()
		var who []string
		var r *rig
		r = newRig(t, func(o *Options) {
			o.Hooks.Refused = func(ctx context.Context, refusal Refusal) {
				who = append(who, identity.PrincipalOf(ctx).UserID+" from "+identity.RequestOf(ctx).IP)
				r.refused <- refusal
			}
		})
		r.do(t, "DELETE", "/api/v1/things/t1", "", "Authorization", "Bearer viewer-token")
		r.do(t, "GET", "/api/v1/things", "", "Authorization", "")
		r.act = func(context.Context, http.ResponseWriter, *http.Request) error {
			return fault.New(fault.Forbidden, "not_yours", "This belongs to somebody else.")
		}
		r.do(t, "GET", "/api/v1/things/t1", "").is(t, http.StatusForbidden, "not_yours")
		r.do(t, "GET", "/api/v1/", "").is(t, http.StatusForbidden, "not_yours") // public operations record theirs
		r.do(t, "GET", "/api/v1/nothing", "")
		close(r.refused)
		var got []Refusal
		for refusal := range r.refused {
			got = append(got, refusal)
		}
		want := []Refusal{{"delete_thing", "forbidden", 403}, {"get_things", "unauthorized", 401}, {"get_thing", "not_yours", 403}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"user_viewer from 192.0.2.1", " from 192.0.2.1", "user_admin from 192.0.2.1"}, who); diff != "" {
			t.Error(diff)
		}
	})
}
