package logline_test

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/logline"
)

func TestLine(t *testing.T) {
	t.Parallel()

	t.Run("carries what was added, in order, the last value of a key", func(t *testing.T) {
		t.Parallel()
		ctx, line := logline.Open(t.Context())
		logline.Add(ctx, slog.String("stream", "session-s1"), slog.Int("revision", 3))
		logline.Add(ctx, slog.Int("revision", 4), slog.String("outcome", "appended"))
		want := []string{"stream=session-s1", "revision=4", "outcome=appended"}
		if diff := cmp.Diff(want, texts(line)); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("is not needed by who adds to it", func(t *testing.T) {
		t.Parallel()
		logline.Add(context.Background(), slog.String("stream", "session-s1"))
	})

	t.Run("is bounded and safe for several goroutines", func(t *testing.T) {
		t.Parallel()
		ctx, line := logline.Open(t.Context())
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for j := range 20 {
					logline.Add(ctx, slog.Int("key"+strconv.Itoa(20*i+j), j))
				}
			})
		}
		all.Wait()
		if n := len(line.Attrs()); n != 32 {
			t.Errorf("the line has %d attributes, want 32", n)
		}
	})
}

func texts(line *logline.Line) []string {
	var out []string
	for _, attr := range line.Attrs() {
		out = append(out, attr.String())
	}
	return out
}
