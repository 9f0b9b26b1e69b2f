package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldestMajor is the oldest version that the managed server uses.
const oldestMajor = 14

// ErrNoBinaries says that the machine has no Postgres that can be used.
var ErrNoBinaries = errors.New("no Postgres server was found: install it (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql), " +
	"name the folder of its programs, or set DATABASE_URL to a server that runs elsewhere")

// binaries are the programs of one Postgres installation.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// findBinaries takes the first installation in dirs that is new enough. One of
// the major version want, that of a cluster there is, goes before others; 0 is
// none.
func findBinaries(ctx context.Context, dirs []string, want int) (binaries, error) {
	var first *binaries
	for _, dir := range dirs {
		b, err := inspectBinaries(ctx, dir)
		switch {
		case err != nil || b.major < oldestMajor:
		case b.major == want:
			return b, nil
		case first == nil:
			first = &b
		}
	}
	if first == nil {
		return binaries{}, ErrNoBinaries
	}
	return *first, nil
}

// binaryDirs lists folders that may hold the programs, the preferred first.
func binaryDirs(ctx context.Context) []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                   // the project's packages for Red Hat
		"/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/lib/postgresql*/bin", // Alpine
		"/usr/local/pgsql/bin",     // built from source
	} {
		matches, _ := filepath.Glob(pattern) // the patterns are well formed
		slices.SortStableFunc(matches, func(a, b string) int { return cmp.Compare(versionIn(b), versionIn(a)) })
		dirs = append(dirs, matches...)
	}
	return dirs
}

var number = regexp.MustCompile(`\d+`)

// versionIn is the first number in a path, or 0.
func versionIn(path string) int {
	n, _ := strconv.Atoi(number.FindString(path)) // no number is version 0
	return n
}

var serverVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspectBinaries reads the version of the programs in dir.
func inspectBinaries(ctx context.Context, dir string) (binaries, error) {
	b := binaries{dir: dir}
	if _, err := os.Stat(b.path("initdb")); err != nil {
		return binaries{}, fmt.Errorf("look for the Postgres programs: %w", err)
	}
	out, err := exec.CommandContext(ctx, b.path("postgres"), "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("ask %s for its version: %w", b.path("postgres"), err)
	}
	match := serverVersion.FindSubmatch(out)
	if match == nil {
		return binaries{}, fmt.Errorf("ask %s for its version: it says %q", b.path("postgres"), out)
	}
	b.major, err = strconv.Atoi(string(match[1]))
	if err != nil {
		return binaries{}, fmt.Errorf("ask %s for its version: %w", b.path("postgres"), err)
	}
	return b, nil
}
