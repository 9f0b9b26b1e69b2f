package esnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	pb "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/persistent"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// Options configure a node. Dir and Listen are required.
type Options struct {
	// Dir is the folder that holds the log. It is made if it is not there, and
	// no other node may have it open.
	Dir string
	// FS is where Dir is; nil means the disk.
	FS vfs.FS
	// Listen is "unix:/path" (shorter than 108 bytes; the socket gets mode 0600)
	// or "host:port", where port 0 takes a free one. An address beyond loopback
	// needs TLS and credentials.
	Listen string
	// Username and Password, when set, must come with every call but
	// ServerFeatures and Gossip, which the official client cannot authenticate.
	Username, Password string
	// TLS, if set, is the server's side of it.
	TLS *tls.Config
	// MaxAppendBytes bounds one append; zero means 1 MiB, as EventStoreDB has it.
	MaxAppendBytes int
	// Floor is the room that appends leave free on the disk: below it they fail
	// with RESOURCE_EXHAUSTED. Reading goes on.
	Floor      storage.Floor
	Logger     *slog.Logger          // nil means none
	Registerer prometheus.Registerer // nil means no metrics
	// OnFatal, if set, is called once if the node ends by itself, which it does
	// only when it could not make data durable. The process should end then.
	OnFatal func(error)
}

const (
	// maxReceive bounds one message, and so one event with what is around it.
	maxReceive = 16 << 20
	// maxCalls is what a real server takes on one connection, subscriptions
	// included; the next call waits until one ends. Taking more would hide from
	// us a client that needs more.
	maxCalls = 100
	// With windows that do not change, the server need not measure the connection,
	// which it does by a ping for nearly every message of a small load.
	streamWindow = 1 << 20
	connWindow   = 4 << 20
	// The official client pings every 10 s; gRPC's own limit would be 5 minutes.
	minPingInterval = 5 * time.Second
	pingInterval    = 10 * time.Second
	pingTimeout     = 10 * time.Second
)

// Node is a running event store.
type Node struct {
	options  Options
	logger   *slog.Logger
	log      *storage.Log
	listener net.Listener
	server   *grpc.Server
	stopping context.Context
	stop     context.CancelFunc
	serving  sync.WaitGroup

	ending sync.Once
	done   chan struct{}
	err    error // set before done is closed
}

// Start opens the log and serves it until Close is called or the log fails. The
// context bounds the start alone.
func Start(ctx context.Context, o Options) (*Node, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	metrics, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	log, err := storage.Open(storage.Options{
		Dir: o.Dir, FS: o.FS, Logger: o.Logger, OnCommit: metrics.committed, OnSync: metrics.synced,
		Floor: o.Floor,
	})
	if err != nil {
		return nil, err
	}
	listener, err := listen(ctx, o.Listen)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	events := engine.New(engine.Options{Log: log, MaxAppendBytes: o.MaxAppendBytes})
	err = observe(o.Registerer, log, events)
	var control *control
	if err == nil && o.FS == nil {
		control, err = listenControl(ctx, o.Dir, log, o.Logger)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close(), log.Close())
	}
	n := &Node{options: o, logger: o.Logger, log: log, listener: listener, done: make(chan struct{})}
	n.stopping, n.stop = context.WithCancel(context.Background())
	n.server = n.newServer(metrics, events)
	n.serving.Go(n.serve)
	n.serving.Go(n.watch)
	if control != nil {
		n.serving.Go(func() { control.serve(n.stopping) })
	}
	return n, nil
}

func (o *Options) check() error {
	if (o.Username == "") != (o.Password == "") {
		return errors.New("a username and a password belong together")
	}
	if o.MaxAppendBytes < 0 || o.MaxAppendBytes > maxReceive {
		return fmt.Errorf("the limit of an append is %d bytes, it must be at most %d", o.MaxAppendBytes, maxReceive)
	}
	local, err := isLocal(o.Listen)
	if err != nil {
		return err
	}
	if !local && (o.TLS == nil || o.Username == "") {
		return fmt.Errorf("%s is reachable from other hosts, which needs TLS and credentials", o.Listen)
	}
	return nil
}

func (n *Node) newServer(m *metrics, events *engine.Engine) *grpc.Server {
	g := &gate{logger: n.logger, username: n.options.Username, password: n.options.Password}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxReceive),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: minPingInterval, PermitWithoutStream: true,
		}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.UnaryInterceptor(g.unary),
		grpc.StreamInterceptor(g.stream),
	}
	if n.options.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(n.options.TLS)))
	}
	server := grpc.NewServer(options...)
	streams.RegisterStreamsServer(server, &streamsService{
		engine:   events,
		metrics:  m,
		logger:   n.logger,
		stopping: n.stopping,
	})
	hub := persistent.New(persistent.Options{Engine: events, Logger: n.logger})
	n.serving.Go(func() {
		<-n.stopping.Done()
		hub.Close(errStopping)
	})
	pb.RegisterPersistentSubscriptionsServer(server, &groupsService{hub: hub, logger: n.logger})
	serverfeatures.RegisterServerFeaturesServer(server, featuresService{})
	gossip.RegisterGossipServer(server, newGossipService(n.listener.Addr()))
	return server
}

func (n *Node) serve() {
	err := n.server.Serve(n.listener)
	if err != nil && n.stopping.Err() == nil {
		n.end(fmt.Errorf("serve the event store: %w", err))
	}
}

// watch ends the node when its log fails.
func (n *Node) watch() {
	select {
	case <-n.log.Failed():
		n.end(n.log.Err())
	case <-n.stopping.Done():
	}
}

// end is how a node ends by itself: at once, since it can keep no promise. Its
// owner hears of it last, and may call Close then.
func (n *Node) end(err error) {
	ended := false
	n.ending.Do(func() {
		ended = true
		n.logger.Error("the event store cannot go on", slog.Any("error", err))
		n.err = err
		n.stop()
		n.server.Stop()
		close(n.done)
	})
	if ended && n.options.OnFatal != nil {
		n.options.OnFatal(err)
	}
}

// Addr is where the node listens, in the form that gRPC dials: "host:port" or
// "unix:/path".
func (n *Node) Addr() string {
	a := n.listener.Addr()
	if a.Network() == "unix" {
		return unixScheme + a.String()
	}
	return a.String()
}

// ConnectionString is the URL for the official client, without credentials. A
// Unix socket has none: its Addr is set as Configuration.Address instead.
func (n *Node) ConnectionString() string {
	addr := n.Addr()
	if strings.HasPrefix(addr, unixScheme) {
		return addr
	}
	return fmt.Sprintf("esdb://%s?tls=%t", addr, n.options.TLS != nil)
}

// Space is the room on the log's disk.
func (n *Node) Space() storage.Space { return n.log.Space() }

// Done is closed when the node has ended.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err tells why the node ended: nil after Close, or while it runs.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// Close ends the node: subscriptions end with UNAVAILABLE, the other calls in
// flight may finish until ctx ends, and then the log is closed. It is safe to
// call it more than once. It returns why the node had ended by itself, if so.
func (n *Node) Close(ctx context.Context) error {
	n.ending.Do(func() {
		n.stop()
		n.err = n.shutdown(ctx)
		close(n.done)
	})
	<-n.done
	return n.err
}

func (n *Node) shutdown(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() {
		n.server.GracefulStop()
		n.serving.Wait()
		ended <- n.log.Close()
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		n.server.Stop()
	}
	// The calls have been cut off and end at once, unless the disk holds them.
	select {
	case err := <-ended:
		return err
	case <-time.After(cutOffGrace):
		return fmt.Errorf("close the event store: a call does not end: %w", ctx.Err())
	}
}

// cutOffGrace is how long Close waits, past its bound, for calls it has cut off.
const cutOffGrace = time.Second
