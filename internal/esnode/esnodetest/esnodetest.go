// Package esnodetest starts event stores for tests.
package esnodetest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode"
)

// Node is a running event store that ends with its test.
type Node struct {
	*esnode.Node

	options esnode.Options
}

// Start starts an event store in memory, behind a Unix socket, for the test's
// duration. Each configure may change its options first.
func Start(t testing.TB, configure ...func(*esnode.Options)) *Node {
	t.Helper()
	o := esnode.Options{Dir: "log", FS: vfs.NewMem(), Listen: "unix:" + filepath.Join(SocketDir(t), "s")}
	for _, c := range configure {
		c(&o)
	}
	n, err := esnode.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("start an event store: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeBound)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Errorf("close the event store: %v", err)
		}
	})
	return &Node{Node: n, options: o}
}

const closeBound = 10 * time.Second

// OnLoopback has the node listen on a free TCP port instead of a socket.
func OnLoopback(o *esnode.Options) { o.Listen = "127.0.0.1:0" }

// SocketDir makes a folder whose path is short enough for a socket in it, which
// the path of the test's own folder need not be.
func SocketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "esnode") //nolint:usetesting // TempDir has the test's name in it, and a socket's path is short
	if err != nil {
		t.Fatalf("make a folder for a socket: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the folder of a socket: %v", err)
		}
	})
	return dir
}

// Client makes an official client for the node. It is closed with the test,
// before the node is.
func (n *Node) Client(t testing.TB) *esdb.Client {
	t.Helper()
	return Client(t, n.Addr())
}

// Client makes an official client for a node without TLS at an address, which
// may be a socket's.
func Client(t testing.TB, addr string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString("esdb://localhost:1?tls=false")
	if err != nil {
		t.Fatalf("make a client's configuration: %v", err)
	}
	config.Address = strings.TrimPrefix(addr, "esdb://")
	config.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close a client: %v", err)
		}
	})
	return client
}
