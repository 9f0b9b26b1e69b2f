package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// installation makes a folder with programs that say they are of a version.
func installation(t *testing.T, says string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{"postgres": "echo '" + says + "'", "initdb": "exit 1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindBinaries(t *testing.T) {
	t.Parallel()
	version := func(v string) string {
		return installation(t, fmt.Sprintf("postgres (PostgreSQL) %s (Debian %s-1)", v, v))
	}
	old, fifteen, seventeen := version("9.6.24"), version("15.14"), version("17.5")
	nothing, broken := t.TempDir(), installation(t, "hello")

	for _, c := range []struct {
		name string
		dirs []string
		want int
		dir  string
	}{
		{"takes the first that is new enough", []string{nothing, broken, old, seventeen, fifteen}, 0, seventeen},
		{"prefers the version of the cluster that is there", []string{seventeen, fifteen}, 15, fifteen},
		{"takes another version when that one is gone", []string{seventeen, fifteen}, 16, seventeen},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, err := findBinaries(t.Context(), c.dirs, c.want)
			if err != nil || b.dir != c.dir {
				t.Errorf("%+v, %v; want %s", b, err, c.dir)
			}
		})
	}

	t.Run("says what to install when there is none", func(t *testing.T) {
		t.Parallel()
		_, err := findBinaries(t.Context(), []string{nothing, broken, old}, 0)
		if !errors.Is(err, ErrNoBinaries) || !strings.Contains(err.Error(), "apt-get install postgresql") {
			t.Error(err)
		}
	})
}

func TestVersionIn(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{
		"/usr/lib/postgresql/9.6/bin": 9, "/usr/lib/postgresql/17/bin": 17, "/opt/homebrew/opt/postgresql@16/bin": 16, "/usr/local/pgsql/bin": 0,
	} {
		if got := versionIn(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}
