package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/backup"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const writers = 4

// running starts a node on the disk.
func running(t *testing.T) (node *esnodetest.Node, dir string) {
	t.Helper()
	dir = filepath.Join(esnodetest.SocketDir(t), "log")
	return esnodetest.Start(t, func(o *esnode.Options) { o.FS, o.Dir = nil, dir }), dir
}

func write(ctx context.Context, client *esdb.Client, stream string, n uint64) error {
	var expected esdb.ExpectedRevision = esdb.NoStream{}
	if n > 0 {
		expected = esdb.Revision(n - 1)
	}
	_, err := client.AppendToStream(ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, esdb.EventData{
		EventID: uuid.New(), EventType: "test", ContentType: esdb.ContentTypeJson, Data: fmt.Appendf(nil, `{"n":%d}`, n),
	})
	return err
}

// fill appends n events to a stream.
func fill(t *testing.T, node *esnodetest.Node, stream string, n uint64) {
	t.Helper()
	client := node.Client(t)
	for i := range n {
		if err := write(t.Context(), client, stream, i); err != nil {
			t.Fatal(err)
		}
	}
}

func stop(t *testing.T, node *esnodetest.Node) {
	t.Helper()
	if err := node.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func verified(t *testing.T, dir string) storage.Verified {
	t.Helper()
	v, err := storage.Verify(t.Context(), storage.VerifyOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Damage) > 0 {
		t.Fatalf("%s is damaged: %v", dir, v.Damage)
	}
	return v
}

// revisions reads how many events each stream of a log has, through a node.
func revisions(t *testing.T, dir string) map[string]uint64 {
	t.Helper()
	client := esnodetest.Start(t, func(o *esnode.Options) { o.FS, o.Dir = nil, dir }).Client(t)
	events, err := client.ReadAll(t.Context(), esdb.ReadAllOptions{From: esdb.Start{}}, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	n := map[string]uint64{}
	for {
		e, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n[e.Event.StreamID]++
	}
}

func TestBackupOfARunningNode(t *testing.T) {
	t.Parallel()
	node, dir := running(t)
	var acknowledged [writers]atomic.Uint64
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	progressed := make(chan struct{}, 1<<16)
	for w := range writers {
		client := node.Client(t)
		writing.Go(func() {
			for n := uint64(0); ; n++ {
				if err := write(ctx, client, fmt.Sprint("writer-", w), n); err != nil {
					if ctx.Err() == nil {
						t.Errorf("an append beside a backup: %v", err)
					}
					return
				}
				acknowledged[w].Add(1)
				select {
				case progressed <- struct{}{}:
				default:
				}
			}
		})
	}
	targets := make([]string, 3)
	var before [3][writers]uint64
	for i := range targets {
		for range 50 {
			<-progressed
		}
		targets[i] = filepath.Join(t.TempDir(), "backup")
		for w := range writers {
			before[i][w] = acknowledged[w].Load()
		}
		list, err := backup.Create(t.Context(), dir, targets[i], nil)
		if err != nil {
			t.Fatal(err)
		}
		if !list.Running || len(list.Files) == 0 {
			t.Errorf("got %+v", list)
		}
	}
	cancel()
	writing.Wait()
	left, err := filepath.Glob(filepath.Join(dir, "checkpoint-*"))
	for deadline := time.Now().Add(10 * time.Second); len(left) > 0 && time.Now().Before(deadline); {
		left, err = filepath.Glob(filepath.Join(dir, "checkpoint-*"))
	}
	if err != nil || len(left) > 0 {
		t.Errorf("left in the log's folder: %v, %v", left, err)
	}
	for i, target := range targets {
		verified(t, target)
		restored := filepath.Join(t.TempDir(), "log")
		if _, err := backup.Restore(t.Context(), target, restored, nil); err != nil {
			t.Fatal(err)
		}
		verified(t, restored)
		got := revisions(t, restored)
		for w := range writers {
			if n := got[fmt.Sprint("writer-", w)]; n < before[i][w] {
				t.Errorf("backup %d has %d events of writer %d, %d were acknowledged before", i, n, w, before[i][w])
			}
		}
	}
}

func TestBackupOfAStoppedLog(t *testing.T) {
	t.Parallel()
	node, dir := running(t)
	fill(t, node, "s", 10)
	stop(t, node)
	target := filepath.Join(t.TempDir(), "deep", "backup")
	var last, total int64
	list, err := backup.Create(t.Context(), dir, target, func(d, of int64) { last, total = d, of })
	if err != nil {
		t.Fatal(err)
	}
	if list.Running || last != total || total != list.Bytes() {
		t.Errorf("got %+v, progress %d of %d", list, last, total)
	}
	if v := verified(t, target); v.Events != 10 {
		t.Errorf("got %+v", v)
	}
	if _, err := backup.Check(t.Context(), target, nil); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(target)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the backup has mode %v, %v", info.Mode(), err)
	}
	if got := revisions(t, dir); got["s"] != 10 {
		t.Errorf("the log that was copied has %v", got)
	}
}

func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	node, dir := running(t)
	fill(t, node, "s", 3)
	stop(t, node)
	whole := filepath.Join(t.TempDir(), "backup")
	if _, err := backup.Create(t.Context(), dir, whole, nil); err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	interrupted := filepath.Join(t.TempDir(), "backup")
	if err := os.Mkdir(interrupted+".partial", 0o700); err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	free := func() string { return filepath.Join(t.TempDir(), "new") }
	for name, test := range map[string]struct {
		err  error
		want error
		says string
	}{
		"a target that has something":     {second(backup.Create(t.Context(), dir, used, nil)), backup.ErrNotEmpty, used},
		"a target in the log":             {second(backup.Create(t.Context(), dir, filepath.Join(dir, "b"), nil)), nil, "within each other"},
		"a target that is half written":   {second(backup.Create(t.Context(), dir, interrupted, nil)), nil, "remove it"},
		"a source that is no log":         {second(backup.Create(t.Context(), used, free(), nil)), storage.ErrNoLog, used},
		"a caller who left":               {second(backup.Create(canceled, dir, free(), nil)), context.Canceled, ""},
		"to restore over a log":           {second(backup.Restore(t.Context(), whole, dir, nil)), backup.ErrNotEmpty, dir},
		"to restore what is no backup":    {second(backup.Restore(t.Context(), dir, free(), nil)), backup.ErrNoBackup, dir},
		"to restore into the backup":      {second(backup.Restore(t.Context(), whole, filepath.Join(whole, "log"), nil)), nil, "within each other"},
		"to restore for one who has left": {second(backup.Restore(canceled, whole, free(), nil)), context.Canceled, ""},
	} {
		if test.err == nil || test.want != nil && !errors.Is(test.err, test.want) || !strings.Contains(test.err.Error(), test.says) {
			t.Errorf("%s: got %v", name, test.err)
		}
	}
	empty := t.TempDir()
	if _, err := backup.Restore(t.Context(), whole, empty, nil); err != nil {
		t.Errorf("an empty folder will do: %v", err)
	}
	verified(t, empty)
}

func second(_ backup.List, err error) error { return err }

// A file that is changed, cut or lost on the way is named, and is not restored.
func TestDamagedBackup(t *testing.T) {
	t.Parallel()
	node, dir := running(t)
	fill(t, node, "s", 3)
	stop(t, node)
	original := filepath.Join(t.TempDir(), "backup")
	list, err := backup.Create(t.Context(), dir, original, nil)
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string]func(path string) error{
		"changed": func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text[len(text)/2] ^= 1
			return os.WriteFile(path, text, 0o600)
		},
		"cut":  func(path string) error { return os.Truncate(path, 1) },
		"lost": os.Remove,
	}
	for _, file := range list.Files {
		for how, change := range damage {
			if file.Bytes < 2 && how != "lost" {
				continue
			}
			copied := filepath.Join(t.TempDir(), "backup")
			if err := os.CopyFS(copied, os.DirFS(original)); err != nil {
				t.Fatal(err)
			}
			if err := change(filepath.Join(copied, file.Name)); err != nil {
				t.Fatal(err)
			}
			if _, err := backup.Check(t.Context(), copied, nil); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), file.Name) {
				t.Errorf("%s is %s: the check got %v", file.Name, how, err)
			}
			target := filepath.Join(t.TempDir(), "log")
			if _, err := backup.Restore(t.Context(), copied, target, nil); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%s is %s: restoring got %v", file.Name, how, err)
			}
			if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is %s: something was restored, %v", file.Name, how, err)
			}
		}
	}
	for _, text := range []string{"{", `{"format":2}`, `{"format":1,"files":[{"name":"../secret"}]}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "backup.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Restore(t.Context(), dir, filepath.Join(t.TempDir(), "log"), nil); err == nil {
			t.Errorf("the list %s is taken", text)
		}
	}
}

func TestControlSocket(t *testing.T) {
	t.Parallel()
	_, dir := running(t)
	path := filepath.Join(dir, "control.sock")
	for name, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, path: 0o600 | os.ModeSocket} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	for _, request := range []string{"checkpoint /etc\n", "shutdown..........\n", "GET / HTTP/1.1\r\n\r\n"} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn) // a reset is an answer too
		if strings.Contains(string(answer), `"checkpoint"`) {
			t.Errorf("%q got %s", request, answer)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "checkpoint-*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	// A node that is closed does not wait for one who holds a checkpoint.
	checkpoint, release, err := esnode.Checkpoint(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if filepath.Dir(checkpoint) != dir {
		t.Errorf("the checkpoint is in %s", checkpoint)
	}
}

// What a killed node left is removed by the next.
func TestOldCheckpoint(t *testing.T) {
	t.Parallel()
	node, dir := running(t)
	fill(t, node, "s", 1)
	stop(t, node)
	old := filepath.Join(dir, "checkpoint-old")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := revisions(t, dir); got["s"] != 1 {
		t.Errorf("got %v", got)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}
