package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
)

// eventStore runs the event store alone until its end is called.
func eventStore(t *testing.T, dir string) (client *esdb.Client, end func()) {
	t.Helper()
	socket := "unix:" + filepath.Join(dir, "s")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "eventstore", "--data-dir", dir, "--listen", socket)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "data folder") {
		continue
	}
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the event store: %v", err)
		}
	}
	t.Cleanup(end)
	return esnodetest.Client(t, socket), end
}

func wantProgram(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	got, stdout, stderr := program(t, nil, args...)
	if got != code || !strings.Contains(stdout+stderr, says) {
		t.Errorf("%s: exit code %d, want %d and %q\n%s%s", strings.Join(args, " "), got, code, says, stdout, stderr)
	}
}

func TestEventStoreBackup(t *testing.T) {
	t.Parallel()
	dir := esnodetest.SocketDir(t)
	client, end := eventStore(t, dir)
	for n := range 20 {
		e := esdb.EventData{EventID: uuid.New(), EventType: "test", ContentType: esdb.ContentTypeJson, Data: fmt.Appendf(nil, `{"n":%d}`, n)}
		if _, err := client.AppendToStream(t.Context(), "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, e); err != nil {
			t.Fatal(err)
		}
	}
	folder := t.TempDir()
	live, dead, other := filepath.Join(folder, "live"), filepath.Join(folder, "dead"), filepath.Join(folder, "other")
	wantProgram(t, 0, "a running event store", "eventstore", "backup", live, "--data-dir", dir)
	wantProgram(t, 0, "Checked 20 events of 1 streams", "eventstore", "verify", live)
	wantProgram(t, 1, "name another folder", "eventstore", "backup", live, "--data-dir", dir)
	wantProgram(t, 1, "make a backup and verify that", "eventstore", "verify", "--data-dir", dir)
	wantProgram(t, 1, "name another folder", "eventstore", "restore", live, "--data-dir", dir)
	end()
	wantProgram(t, 0, "the stopped log", "eventstore", "backup", dead, "--data-dir", dir)
	wantProgram(t, 0, "The log is whole", "eventstore", "verify", dir)
	wantProgram(t, 0, "restore the keys", "eventstore", "restore", live, "--data-dir", other)
	wantProgram(t, 0, "Checked 20 events", "eventstore", "verify", "--data-dir", other)
	wantProgram(t, 1, "not a whole backup", "eventstore", "restore", dir, "--data-dir", filepath.Join(folder, "new"))
	wantProgram(t, 1, "no log in the folder", "eventstore", "verify", folder)
	wantProgram(t, 2, "name one folder", "eventstore", "backup", "--data-dir", dir)
	wantProgram(t, 2, "loopback only", "eventstore", "--metrics", "0.0.0.0:0", "--data-dir", dir)
	wantProgram(t, 2, "min-free-space", "eventstore", "--min-free-space", "lots", "--data-dir", dir)
	wantProgram(t, 0, "the folder keys", "eventstore", "backup", "--help")

	tables, err := filepath.Glob(filepath.Join(dead, "*.sst"))
	if err != nil || len(tables) == 0 {
		tables, err = filepath.Glob(filepath.Join(dead, "*.log"))
	}
	if err != nil || len(tables) == 0 {
		t.Fatal("the backup has no data", err)
	}
	if err := os.Truncate(tables[0], 100); err != nil {
		t.Fatal(err)
	}
	wantProgram(t, 3, filepath.Base(tables[0]), "eventstore", "verify", dead)
	wantProgram(t, 1, filepath.Base(tables[0]), "eventstore", "restore", dead, "--data-dir", filepath.Join(folder, "new"))

	// The restored log goes on.
	client, _ = eventStore(t, other)
	e := esdb.EventData{EventID: uuid.New(), EventType: "test", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)}
	if _, err := client.AppendToStream(t.Context(), "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(19)}, e); err != nil {
		t.Error(err)
	}
}

// A server's log is backed up while it serves. Put in place elsewhere with the
// keys, it makes the same read models.
func TestRestoredServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	project := s.login().project()
	backup := filepath.Join(t.TempDir(), "log")
	wantProgram(t, 0, "a running event store", "eventstore", "backup", backup, "--data-dir", s.dir)
	if code := s.stop(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	other := newServer(t)
	wantProgram(t, 0, "restore the keys", "eventstore", "restore", backup, "--data-dir", other.dir)
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", filepath.Join(s.dir, "keys"), other.dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the keys: %v: %s", err, out)
	}
	wantProgram(t, 0, "The log is whole", "eventstore", "verify", other.dir)
	other.start()
	var got struct{ Project struct{ Name string } }
	other.login().must("GET", "/projects/"+project, "", nil, &got)
	if got.Project.Name != "Shop" {
		t.Errorf("the project is %q", got.Project.Name)
	}
	other.stop()
	other.fsck()
}

// With too little disk space a server starts, answers what it can, and says of a
// write why it is refused.
func TestStorageFull(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	c := s.login()
	project := c.project()
	s.stop()
	s.args = append(s.args, "--min-free-space", "900TiB")
	s.start()
	c.send("GET", "/projects/"+project, "").want(t, 200, "")
	c.send("POST", "/projects", `{"name":"Another"}`).want(t, 503, "storage_full")
	c.send("GET", "/projects/"+project, "").want(t, 200, "")
}

func TestEventStoreMetrics(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), binary, "eventstore", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := ""
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		if _, after, ok := strings.Cut(lines.Text(), "what=metrics address="); ok {
			address = after
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	eventually(t, "the node's metrics", func() bool { // they are served before the node has started
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err = io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "g4fagent_esnode_log_bytes")
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the event store: %v", err)
	}
}
