package esnode_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"google.golang.org/grpc/codes"

	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

func wantDone(t *testing.T, n *esnodetest.Node) {
	t.Helper()
	select {
	case <-n.Done():
	case <-time.After(bound):
		t.Fatal("the node does not end")
	}
}

func TestClose(t *testing.T) {
	t.Parallel()

	t.Run("ends subscriptions as unavailable, and what waits for it", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		s := r.subscribeAll(esdb.SubscribeToAllOptions{From: esdb.Start{}})
		o := r.subscribeStream("s", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
		s.want("caught up")
		o.want("caught up")
		if err := r.node.Close(r.ctx); err != nil {
			t.Fatal(err)
		}
		wantDone(t, r.node)
		for _, got := range []string{s.next(), o.next()} {
			if !strings.HasPrefix(got, "dropped") || !strings.Contains(got, codes.Unavailable.String()) {
				t.Errorf("got %q", got)
			}
		}
		if err := errors.Join(r.node.Err(), r.node.Close(r.ctx)); err != nil {
			t.Errorf("closed again: %v", err)
		}
	})

	t.Run("leaves a log that goes on", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewMem()
		keep := func(o *esnode.Options) { o.FS = fs }
		r := newRig(t, keep)
		first := r.mustAppend("s", "a")
		if err := r.node.Close(r.ctx); err != nil {
			t.Fatal(err)
		}
		r = newRig(t, keep)
		r.wantStream("s", `0:"a"`)
		if second := r.mustAppend("s", "b"); second.NextExpectedVersion != 1 || second.CommitPosition <= first.CommitPosition {
			t.Errorf("%+v follows %+v", second, first)
		}
	})

	t.Run("does not wait longer than it may for a reader who does not read", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		big := event("x")
		big.Data = make([]byte, 1_000_000)
		for range 20 {
			big.EventID = event("").EventID
			if _, err := r.append("s", esdb.Any{}, big); err != nil {
				t.Fatal(err)
			}
		}
		stream, err := r.client.ReadAll(r.ctx, esdb.ReadAllOptions{From: esdb.Start{}}, everything)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := r.node.Close(ctx); err != nil {
			t.Error(err)
		}
		wantDone(t, r.node)
	})

	t.Run("frees what a failed start had taken", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewMem()
		o := esnode.Options{FS: fs, Dir: "log", Listen: "unix:" + filepath.Join(t.TempDir(), "no", "folder")}
		if len(o.Listen) > 100 {
			o.Listen = "unix:/no/folder"
		}
		if _, err := esnode.Start(t.Context(), o); err == nil {
			t.Fatal("it started")
		}
		newRig(t, func(o *esnode.Options) { o.FS = fs })
	})
}

func TestFailedSync(t *testing.T) {
	t.Parallel()
	var failing atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if failing.Load() && isSync && filepath.Ext(op.Path) == ".log" {
			return errors.New("the disk is gone")
		}
		return nil
	}))
	fatal := make(chan error, 2)
	started := make(chan *esnode.Node, 1)
	node, err := esnode.Start(t.Context(), esnode.Options{
		FS: fs, Dir: "log", Listen: "127.0.0.1:0", OnFatal: func(err error) {
			fatal <- errors.Join(err, (<-started).Close(context.Background())) // an owner may do so
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	started <- node
	client := esnodetest.Client(t, node.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if _, err := client.AppendToStream(ctx, "s", esdb.AppendToStreamOptions{}, event("a")); err != nil {
		t.Fatal(err)
	}
	failing.Store(true)
	if _, err := client.AppendToStream(ctx, "s", esdb.AppendToStreamOptions{}, event("b")); err == nil {
		t.Error("an append was acknowledged that is not on the disk")
	}
	select {
	case err := <-fatal:
		if !errors.Is(err, storage.ErrFailed) {
			t.Errorf("the owner was told %v", err)
		}
	case <-ctx.Done():
		t.Fatal("the owner was not told")
	}
	<-node.Done()
	if !errors.Is(node.Err(), storage.ErrFailed) || !errors.Is(node.Close(ctx), storage.ErrFailed) {
		t.Errorf("the node says %v", node.Err())
	}
	if len(fatal) != 0 {
		t.Error("the owner was told twice")
	}
}
