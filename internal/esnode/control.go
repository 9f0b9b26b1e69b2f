package esnode

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// A node that keeps its log on disk listens on a second socket, in the log's own
// folder, for one thing: to be asked for a checkpoint, which a backup copies. The
// folder's owner alone may enter it (0700) and connect (0600), and the node asks
// the kernel who does: so nobody learns or does anything by it that they could not
// by reading the folder. The node alone chooses where the checkpoint is.
const (
	controlSocket    = "control.sock"
	checkpointPrefix = "checkpoint-"
	checkpointWord   = "checkpoint\n"
	// controlBound is how long a caller has to say what it wants.
	controlBound = 5 * time.Second
)

// IsTransient tells whether a file in a log's folder is no part of the log: locks,
// sockets, and checkpoints being copied.
func IsTransient(name string) bool {
	return name == "LOCK" || name == controlSocket || strings.HasPrefix(name, checkpointPrefix)
}

// ErrNotRunning says that no node serves a folder's control socket.
var ErrNotRunning = errors.New("no event store answers for the folder")

type controlReply struct {
	Checkpoint string `json:"checkpoint,omitempty"`
	Error      string `json:"error,omitempty"`
}

// control is the node's side of the control socket.
type control struct {
	log      *storage.Log
	dir      string
	logger   *slog.Logger
	listener net.Listener
	calls    sync.WaitGroup
	one      sync.Mutex // checkpoints are made one at a time
}

// listenControl opens the socket, and removes what a killed node has left. Where
// the folder's path is too long for a socket, it gives none.
func listenControl(ctx context.Context, dir string, log *storage.Log, logger *slog.Logger) (*control, error) {
	left, err := filepath.Glob(filepath.Join(dir, checkpointPrefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("look for old checkpoints: %w", err)
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return nil, fmt.Errorf("remove an old checkpoint: %w", err)
		}
	}
	path := filepath.Join(dir, controlSocket)
	if len(path) > maxSocketPath {
		logger.Warn("the path of the log's folder is too long for a socket: a backup needs the node to be stopped", slog.String("path", dir))
		return nil, nil //nolint:nilnil // a node without one
	}
	l, err := listenUnix(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	return &control{log: log, dir: dir, logger: logger, listener: l}, nil
}

func (c *control) serve(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = c.listener.Close() }) // ends Accept
	defer stop()
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			if ctx.Err() == nil {
				c.logger.Error("the event store's control socket failed", slog.Any("error", err))
			}
			break
		}
		c.calls.Go(func() { c.answer(ctx, conn) })
	}
	c.calls.Wait()
}

func (c *control) answer(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }() // the caller is gone or has been told
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	checkpoint, err := c.checkpoint(conn)
	reply := controlReply{Checkpoint: checkpoint}
	if err != nil {
		c.logger.Warn("a checkpoint was refused or failed", slog.Any("error", err))
		reply.Error = err.Error()
	}
	if checkpoint != "" {
		defer func() {
			if err := os.RemoveAll(checkpoint); err != nil {
				c.logger.Error("a checkpoint was not removed", slog.Any("error", err))
			}
		}()
	}
	if json.NewEncoder(conn).Encode(reply) != nil || err != nil {
		return
	}
	// The checkpoint stays for as long as the caller holds the connection.
	_, _ = io.Copy(io.Discard, conn)
}

// checkpoint reads the request, and makes what it asks for.
func (c *control) checkpoint(conn net.Conn) (string, error) {
	if err := checkPeer(conn); err != nil {
		return "", err
	}
	if err := conn.SetReadDeadline(time.Now().Add(controlBound)); err != nil {
		return "", fmt.Errorf("bound the request: %w", err)
	}
	request := make([]byte, len(checkpointWord))
	if _, err := io.ReadFull(conn, request); err != nil || string(request) != checkpointWord {
		return "", errors.New("the control socket knows no such request")
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return "", fmt.Errorf("wait for the copy: %w", err)
	}
	c.one.Lock()
	defer c.one.Unlock()
	path := filepath.Join(c.dir, checkpointPrefix+strings.ToLower(rand.Text()))
	return path, c.log.Checkpoint(path)
}

// checkPeer refuses everybody but the account that the node runs as, and root.
func checkPeer(conn net.Conn) error {
	uid, known, err := peerUID(conn)
	if err != nil {
		return fmt.Errorf("ask who calls: %w", err)
	}
	if known && uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("account %d may not ask for a checkpoint", uid)
	}
	return nil
}

// Checkpoint asks the node that has the folder open for a checkpoint: a folder that
// holds the log as it is now. It is there until release is called. It fails with
// ErrNotRunning when no node answers.
func Checkpoint(ctx context.Context, dir string) (checkpoint string, release func(), err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(dir, controlSocket))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return "", nil, ErrNotRunning
	}
	if err != nil {
		return "", nil, fmt.Errorf("call the event store: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	release = func() {
		stop()
		_ = conn.Close() // nothing is to be said any more
	}
	var reply controlReply
	if _, err = io.WriteString(conn, checkpointWord); err == nil {
		err = json.NewDecoder(bufio.NewReader(conn)).Decode(&reply)
	}
	if err == nil && reply.Error != "" {
		err = errors.New(reply.Error)
	}
	if err != nil {
		release()
		return "", nil, fmt.Errorf("ask the event store for a checkpoint: %w", err)
	}
	return reply.Checkpoint, release, nil
}
