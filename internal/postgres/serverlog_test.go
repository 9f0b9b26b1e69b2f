package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// says has the server say text.
func says(t *testing.T, l *serverLog, text string) {
	t.Helper()
	if n, err := l.Write([]byte(text)); err != nil || n != len(text) {
		t.Fatalf("wrote %d bytes of %d: %v", n, len(text), err)
	}
}

func TestServerLog(t *testing.T) {
	t.Parallel()
	newLog := func(t *testing.T) *serverLog {
		t.Helper()
		l, err := openServerLog(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.close() })
		return l
	}

	t.Run("stays below its bound and keeps the newest", func(t *testing.T) {
		t.Parallel()
		l := newLog(t)
		l.max = 1000
		for i := range 500 {
			says(t, l, fmt.Sprintf("line %d\n", i))
		}
		var all strings.Builder
		for _, path := range []string{l.path + ".1", l.path} {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(content) > 1000 {
				t.Errorf("%s has %d bytes", path, len(content))
			}
			all.Write(content)
		}
		if !strings.HasSuffix(all.String(), "line 498\nline 499\n") || !strings.Contains(all.String(), "line 400\n") {
			t.Errorf("kept:\n%s", all.String())
		}
	})

	t.Run("goes on in the file that is there", func(t *testing.T) {
		t.Parallel()
		l := newLog(t)
		says(t, l, "before\n")
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		again, err := openServerLog(l.path)
		if err != nil {
			t.Fatal(err)
		}
		says(t, again, "after\n")
		if err := again.close(); err != nil {
			t.Fatal(err)
		}
		if content, err := os.ReadFile(l.path); err != nil || string(content) != "before\nafter\n" {
			t.Errorf("%q, %v", content, err)
		}
	})

	t.Run("remembers the last 20 lines, whole ones cut from any pieces", func(t *testing.T) {
		t.Parallel()
		l := newLog(t)
		for i := range 30 {
			says(t, l, "li")
			says(t, l, fmt.Sprintf("ne %d\nand ", i))
		}
		last := strings.Split(l.last(), "\n")
		if len(last) != 21 || last[0] != "and line 10" || last[20] != "and " {
			t.Errorf("%d lines: %q", len(last), last)
		}
		l.forget()
		if last := l.last(); last != "" {
			t.Errorf("still %q", last)
		}
	})

	t.Run("cuts a line that has no end", func(t *testing.T) {
		t.Parallel()
		l := newLog(t)
		for range 100 {
			says(t, l, strings.Repeat("x", 1000))
		}
		if n := len(l.last()); n != maxLine {
			t.Errorf("remembers %d bytes", n)
		}
	})

	t.Run("never fails the server that writes to it", func(t *testing.T) {
		t.Parallel()
		l := newLog(t)
		if err := l.file.Close(); err != nil { // as a disk that is full, every write fails
			t.Fatal(err)
		}
		if n, err := fmt.Fprintln(l, "lost on disk"); n != 13 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if last := l.last(); last != "lost on disk" {
			t.Errorf("remembers %q", last)
		}
	})
}
