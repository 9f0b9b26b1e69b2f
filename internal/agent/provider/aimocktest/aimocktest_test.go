package aimocktest_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/agent/provider/aimocktest"
)

func ask(t *testing.T, s *aimocktest.Server, text string) (int, string) {
	t.Helper()
	body := `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"` + text + `"}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(answer)
}

func TestAnswersFollowTheScript(t *testing.T) {
	t.Parallel()
	s := aimocktest.Start(t, aimocktest.Options{
		Reply: "otherwise",
		Answers: []aimocktest.Answer{
			{Contains: "weather", Nth: 1, Fail: &aimocktest.Failure{Status: 429, Message: "slow down", RetryAfter: 7 * time.Second}},
			{Contains: "weather", Reply: "sunny", ChunkSize: 2},
		},
	})
	if status, body := ask(t, s, "the weather?"); status != http.StatusTooManyRequests || !strings.Contains(body, "slow down") {
		t.Errorf("first: %d %s", status, body)
	}
	if status, body := ask(t, s, "the weather?"); status != http.StatusOK || !strings.Contains(body, `"su"`) || !strings.Contains(body, `"nn"`) {
		t.Errorf("second: %d %s", status, body)
	}
	if _, body := ask(t, s, "anything"); !strings.Contains(body, "otherwise") {
		t.Errorf("otherwise: %s", body)
	}
	if n := len(s.Requests(t)); n != 3 {
		t.Errorf("journal has %d requests, want 3", n)
	}

	s.Script(t, aimocktest.Answer{Contains: "weather", Reply: "rainy"})
	if _, body := ask(t, s, "the weather?"); !strings.Contains(body, "rainy") {
		t.Errorf("after Script: %s", body)
	}
	if requests := s.Requests(t); len(requests) != 1 || !bytes.Contains(requests[0].Body, []byte("the weather?")) {
		t.Errorf("journal after Script: %+v", requests)
	}
}

func TestDelaysAreKept(t *testing.T) {
	t.Parallel()
	s := aimocktest.Start(t, aimocktest.Options{Reply: "abcdef", ChunkSize: 2, ChunkDelay: 30 * time.Millisecond})
	start := time.Now()
	ask(t, s, "x")
	if took := time.Since(start); took < 4*30*time.Millisecond {
		t.Errorf("three chunks with their envelope took %s", took)
	}
}

func TestStopBreaksConnections(t *testing.T) {
	t.Parallel()
	s := aimocktest.Start(t, aimocktest.Options{ChunkDelay: time.Minute})
	asked := make(chan error, 1)
	go func() {
		res, err := http.Post(s.URL+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`))
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		asked <- err
	}()
	s.AwaitRequests(t, 1)
	s.Stop()
	s.Stop()
	if err := <-asked; err == nil {
		t.Error("the answer came although the mock had stopped")
	}
}
