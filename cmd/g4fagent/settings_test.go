package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/api"
)

// What providers are told in confidence. None of it may be anywhere in clear.
const (
	providerKey   = "sk-live-7c1e90b2f4a8"
	providerTeam  = "team-secret-55d0e3a1"
	wrongKey      = "sk-wrong-2b9f61c07d3e"
	shownInClear  = "theme-9f27ab310c"
	askedForModel = "large"
)

// upstream is a model provider in OpenAI's dialect, on this machine. It repeats
// the key that it refuses, as some do.
type upstream struct {
	*httptest.Server

	answers atomic.Int64
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case key != providerKey || r.Header.Get("X-Team") != providerTeam:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, `{"error":{"message":"Incorrect API key provided: %s"}}`, key)
	case strings.HasSuffix(r.URL.Path, "/models"):
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data":[{"id":"small","capabilities":["completion"]},{"id":"large","context_length":4096,"capabilities":["completion","vision"]},{"id":"embed"}]}`)
	default:
		u.answers.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}
}

// admins is one administrator with a server of their own, whose settings nobody
// else changes.
type admins struct{ *client }

func (a admins) put(settings map[string]any) answer {
	a.server.t.Helper()
	return a.must("PUT", "/settings", "", settings, nil)
}

// custom is a change of the settings that lists custom, and openai without
// anything, and ollama where nobody is.
func custom(members map[string]any) map[string]any {
	entry := map[string]any{"provider_id": "custom"}
	maps.Copy(entry, members)
	return map[string]any{"providers": []any{
		entry,
		map[string]any{"provider_id": "openai", "enabled": false},
		map[string]any{"provider_id": "ollama", "base_url": "http://127.0.0.1:1"},
	}}
}

// shown is custom as GET /settings shows it.
func (a admins) shown() map[string]any {
	a.server.t.Helper()
	var s struct {
		Settings struct{ Providers []map[string]any }
	}
	a.must("GET", "/settings", "", nil, &s)
	i := slices.IndexFunc(s.Settings.Providers, func(p map[string]any) bool { return p["provider_id"] == "custom" })
	if i < 0 {
		a.server.t.Fatalf("custom is not in %v", s.Settings.Providers)
	}
	return s.Settings.Providers[i]
}

type trial struct {
	OK        bool
	LatencyMS int64 `json:"latency_ms"`
	Details   string
}

func (a admins) test(provider, key string) (trial, answer) {
	a.server.t.Helper()
	var got trial
	return got, a.must("POST", "/providers/"+provider+"/test", key, map[string]any{"model_id": askedForModel}, &got)
}

func (a admins) mustTest(t *testing.T, ok bool, details string) {
	t.Helper()
	got, _ := a.test("custom", "")
	if got.OK != ok || !strings.Contains(got.Details, details) {
		t.Errorf("the test says %+v, want %v and %q", got, ok, details)
	}
}

// Settings and providers from the first change to the last, on one server; then
// its folder and what it said are searched for what was told in confidence.
func TestSettingsAndProviders(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := newServer(t, "--log-level", "debug")
	s.start()
	a := admins{s.login()}
	configured := map[string]any{"base_url": u.URL, "api_key": providerKey, "headers": map[string]any{"X-Team": providerTeam}}

	settingsKeepSecrets(t, a, configured)
	providersAreAsked(t, a, u)
	sessionsTakeDefaults(t, a)
	secretsComeAndGo(t, a, u, configured)
	changesAreTold(t, a)

	s.kill() // an orderly end would have the log's last writes compressed
	waitForPostgres(s.dir)
	nothingInClear(t, s)
	s.fsck()
}

func settingsKeepSecrets(t *testing.T, a admins, configured map[string]any) {
	t.Helper()
	var first struct{ Settings map[string]any }
	etag := a.must("GET", "/settings", "", nil, &first).header.Get("ETag")
	if first.Settings["default_provider_id"] != "g4f" || etag != api.DefaultsTag {
		t.Errorf("before any change: %v, ETag %s", first.Settings, etag)
	}
	for _, tag := range []string{etag, `"-1"`} { // as earlier versions called it
		a.send("PUT", "/settings", `{"default_provider_id":"g4f"}`, "If-Match", tag).want(t, http.StatusOK, "")
	}
	change := custom(configured)
	change["ui"] = map[string]any{"theme": shownInClear}
	changed := a.put(change)
	if p := a.shown(); p["api_key"] != "set" || p["headers"].(map[string]any)["X-Team"] != "set" {
		t.Errorf("shown is %v", p)
	}
	if now := a.must("GET", "/settings", "", nil, nil).header.Get("ETag"); now != `"0"` || changed.header.Get("ETag") != now {
		t.Errorf("ETag %s, after a change to %s", now, changed.header.Get("ETag"))
	}
	a.send("PUT", "/settings", `{"memory_limit_gb":4}`, "If-Match", api.DefaultsTag).want(t, http.StatusPreconditionFailed, "precondition_failed")
	a.send("PUT", "/settings", `{"memory_limit_gb":4}`, "If-Match", `W/"0"`).want(t, http.StatusPreconditionFailed, "precondition_failed")
	a.send("PUT", "/settings", `{"memory_limit_gb":4}`, "If-Match", `"0"`).want(t, http.StatusOK, "")
	a.send("PUT", "/settings", `{"providers":[{"provider_id":"custom","api_key":7}]}`).named(t, "providers.0.api_key")
	a.send("PUT", "/settings", `{"providers":[{"provider_id":"custom","base_url":"https://x?key=`+providerKey+`"}]}`).named(t, "providers.0.base_url")
	if again := a.put(custom(map[string]any{"base_url": configured["base_url"], "headers": map[string]any{"X-Team": "set"}})); again.header.Get("ETag") != "" {
		t.Errorf("what changes nothing made version %s", again.header.Get("ETag"))
	}
}

func providersAreAsked(t *testing.T, a admins, u *upstream) {
	t.Helper()
	var scan struct {
		Discovered, Warnings []string
	}
	a.must("POST", "/providers/scan", "", map[string]any{"include": []string{"ollama", "custom", "openai", "nobody"}}, &scan)
	if !slices.Equal(scan.Discovered, []string{"custom"}) || len(scan.Warnings) != 3 || !strings.HasPrefix(scan.Warnings[1], "ollama: the provider cannot be reached") {
		t.Errorf("the scan found %q and warns %q", scan.Discovered, scan.Warnings)
	}
	a.mustTest(t, true, "large answered.")

	before := u.answers.Load()
	first, _ := a.test("custom", "test-once")
	second, answer := a.test("custom", "test-once")
	if first != second || answer.header.Get("Idempotency-Replayed") != "true" || u.answers.Load() != before+1 {
		t.Errorf("a repeated test was answered %+v, then %+v, and asked %d times", first, second, u.answers.Load()-before)
	}
	a.send("POST", "/providers/custom/test", `{"model_id":"small"}`, "Idempotency-Key", "test-once").want(t, http.StatusConflict, "idempotency_key_reused")
	a.send("POST", "/providers/nobody/test", "").want(t, http.StatusNotFound, "provider_not_found")
	a.send("GET", "/providers/nobody/models", "").want(t, http.StatusNotFound, "provider_not_found")
	a.send("GET", "/providers/ollama/models", "").want(t, http.StatusServiceUnavailable, "unavailable")

	type model struct {
		ID      string
		Context int64 `json:"context_tokens"`
	}
	for query, want := range map[string][]model{
		"?q=":                   {{"embed", 0}, {"large", 4096}, {"small", 0}},
		"?q=MA":                 {{"small", 0}},
		"?capability=vision":    {{"large", 4096}},
		"?capability=chat&q=ar": {{"large", 4096}},
	} {
		if got := all[model](a.client, "/providers/custom/models"+query); !slices.Equal(got, want) {
			t.Errorf("models%s are %v, want %v", query, got, want)
		}
	}
	var page struct {
		Items []model
		Next  *string `json:"next_cursor"`
	}
	told := a.must("GET", "/providers/custom/models?limit=1&cursor=1", "", nil, &page)
	if age, err := strconv.Atoi(told.header.Get("Age")); err != nil || age < 0 || age > 300 {
		t.Errorf("the list is %q seconds old", told.header.Get("Age"))
	}
	if len(page.Items) != 1 || page.Items[0].ID != "large" || page.Next == nil || *page.Next != "2" {
		t.Errorf("the second page is %+v", page)
	}

	type provider struct {
		ID, Status string
		BaseURL    string  `json:"base_url"`
		Checked    *string `json:"last_checked_at"`
	}
	var shown []string
	for _, p := range all[provider](a.client, "/providers") {
		shown = append(shown, fmt.Sprint(p.ID, " ", p.Status, " ", strings.Replace(p.BaseURL, u.URL, "upstream", 1), " ", p.Checked != nil))
	}
	if want := []string{
		"openai idle https://api.openai.com false", "anthropic idle https://api.anthropic.com false",
		"ollama active http://127.0.0.1:1 true", "g4f idle  false", "custom active upstream true",
	}; !slices.Equal(shown, want) {
		t.Errorf("providers are %q, want %q", shown, want)
	}
}

func sessionsTakeDefaults(t *testing.T, a admins) {
	t.Helper()
	a.put(map[string]any{"default_provider_id": "custom", "default_model_id": "small"})
	var made struct {
		Session struct {
			ID       string
			Provider string `json:"provider_id"`
			Model    string `json:"model_id"`
		}
	}
	a.must("POST", "/projects/"+a.project()+"/sessions", "", map[string]any{"title": "T"}, &made)
	if made.Session.Provider != "custom" || made.Session.Model != "small" {
		t.Errorf("the session is %+v", made.Session)
	}
	run := a.run(made.Session.ID)
	var r struct {
		Run struct {
			Status string
			Result struct {
				Summary string
				Diffs   []string `json:"diff_ids"`
			}
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if a.must("GET", "/runs/"+run, "", nil, &r); r.Run.Status == "completed" {
			break
		}
		if r.Run.Status == "failed" || time.Now().After(deadline) {
			t.Fatalf("the run is %+v", r.Run)
		}
	}
	if r.Run.Result.Summary != "Hello" {
		t.Errorf("the run's answer is %q", r.Run.Result.Summary)
	}
	if r.Run.Result.Diffs == nil {
		t.Error("the run's result has no list of diffs")
	}
}

func secretsComeAndGo(t *testing.T, a admins, u *upstream, configured map[string]any) {
	t.Helper()
	members := map[string]any{"base_url": u.URL, "api_key": wrongKey, "headers": map[string]any{"X-Team": "set"}}
	a.put(custom(members))
	a.mustTest(t, false, "refuses the credentials (HTTP 401)")
	members["api_key"] = nil
	a.put(custom(members))
	if _, there := a.shown()["api_key"]; there {
		t.Error("a removed key is shown")
	}
	a.mustTest(t, false, "refuses the credentials (HTTP 401)")
	a.put(custom(configured))
	a.mustTest(t, true, "")
	a.put(map[string]any{"providers": []any{}})
	a.mustTest(t, false, "switched off")
	members = map[string]any{"base_url": u.URL, "headers": map[string]any{"X-Team": "set"}}
	raw, err := json.Marshal(custom(members))
	if err != nil {
		t.Fatal(err)
	}
	a.send("PUT", "/settings", string(raw)).named(t, "providers.0.headers.X-Team") // went with its provider
	off := a.must("GET", "/providers/custom/models", "", nil, nil)
	if string(off.body) != `{"items":[],"next_cursor":null}` || off.header.Get("Age") != "" {
		t.Errorf("a provider that is switched off offers %s, of age %q", off.body, off.header.Get("Age"))
	}
}

func changesAreTold(t *testing.T, a admins) {
	t.Helper()
	type record struct {
		ID      string
		Actor   string `json:"actor_user_id"`
		Request string `json:"request_id"`
		Change  struct {
			Path     string
			From, To json.RawMessage
		}
	}
	keys, seen := []string{}, map[string]bool{}
	for _, r := range all[record](a.client, "/settings/audit") {
		if r.Actor != "user_admin" || r.Request == "" || seen[r.ID] {
			t.Errorf("told is %+v", r)
		}
		seen[r.ID] = true
		if r.Change.Path == "/providers/custom/api_key" {
			keys = append(keys, string(r.Change.From)+" "+string(r.Change.To))
		}
	}
	want := []string{`null "[sealed]"`, `"[sealed]" "[sealed]"`, `"[sealed]" null`, `null "[sealed]"`, `"[sealed]" null`}
	if !slices.Equal(keys, want) {
		t.Errorf("of the key is told %q, want %q", keys, want)
	}
	for _, path := range []string{"/settings/audit?limit=200", "/audit?limit=200&type=settings.updated", "/audit?limit=200&type=provider.tested", "/settings"} {
		if raw := a.must("GET", path, "", nil, nil).body; secretIn(raw) != "" {
			t.Errorf("%s tells %s", path, secretIn(raw))
		}
	}
	facts := map[string]int{}
	for _, e := range all[struct{ Type string }](a.client, "/audit") {
		facts[e.Type]++
	}
	if facts["provider.scanned"] != 2 || facts["provider.tested"] != 5 || facts["settings.updated"] != 7 {
		t.Errorf("the audit has %v", facts)
	}
}

// secretIn is a secret that text holds, or empty.
func secretIn(text []byte) string {
	for _, secret := range []string{providerKey, providerTeam, wrongKey} {
		if bytes.Contains(text, []byte(secret)) {
			return secret
		}
	}
	return ""
}

// nothingInClear searches the killed server's folder, and what it said. Where it
// finds what was no secret, it would have found a secret too.
func nothingInClear(t *testing.T, s *server) {
	t.Helper()
	if secret := secretIn([]byte(s.out.String())); secret != "" {
		t.Errorf("the server said %s", secret)
	}
	control := map[string]bool{}
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if secret := secretIn(raw); secret != "" {
			t.Errorf("%s holds %s", path, secret)
		}
		if bytes.Contains(raw, []byte(shownInClear)) {
			below, _ := filepath.Rel(s.dir, path)
			control[strings.Split(below, string(filepath.Separator))[0]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !control["log"] || !control["postgres"] {
		t.Errorf("the search finds what is in clear in %v alone", control)
	}
}
