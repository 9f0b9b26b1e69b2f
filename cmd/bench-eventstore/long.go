package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"github.com/shirou/gopsutil/v4/process"
)

// nodeCommand makes this program a node, so that its memory and the time of its
// start are its own.
const nodeCommand = "node"

func serveNode(dir string) error {
	ctx := context.Background()
	node, err := startNode(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is done
	return node.Close(ctx)
}

// child is a node in a process of its own.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	took  time.Duration // from before the process was started until it served
	addr  string
}

func startChild(ctx context.Context, dir string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	c := &child{cmd: exec.CommandContext(ctx, self, nodeCommand, dir), addr: "unix:" + filepath.Join(dir, "s")}
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	c.took = time.Since(began)
	if err != nil || line != "ready\n" {
		return nil, errors.Join(fmt.Errorf("a node says %q: %w", line, err), c.stop())
	}
	return c, nil
}

func (c *child) stop() error { return errors.Join(c.stdin.Close(), c.cmd.Wait()) }

func (c *child) resident(ctx context.Context) (uint64, error) {
	p, err := process.NewProcessWithContext(ctx, int32(c.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("look at a node: %w", err)
	}
	m, err := p.MemoryInfoWithContext(ctx)
	if err != nil {
		return 0, fmt.Errorf("look at a node: %w", err)
	}
	return m.RSS, nil
}

// measureLong is what a long log costs: the start, the memory, the disk, and each
// append, compared with one to an empty log.
func measureLong(ctx context.Context, b *bench) error {
	dir := b.folder("long")
	progress(fmt.Sprintf("appending %d events", b.events))
	log, err := openLog(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	began := time.Now()
	if err := errors.Join(seed(ctx, log, b.events), log.Close()); err != nil {
		return err
	}
	progress(fmt.Sprintf("appended in %s", time.Since(began).Round(time.Second)))
	if err := b.measureSize(ctx, dir); err != nil {
		return err
	}
	full, err := startChild(ctx, dir)
	if err != nil {
		return err
	}
	b.report.bound(fmt.Sprintf("start with %d events", b.events), "", full.took.Seconds(), 2, "s")
	if err := os.MkdirAll(b.folder("empty"), 0o700); err != nil {
		return errors.Join(err, full.stop())
	}
	empty, err := startChild(ctx, b.folder("empty"))
	if err != nil {
		return errors.Join(err, full.stop())
	}
	err = b.compareAppends(ctx, full, empty)
	return errors.Join(err, empty.stop(), full.stop())
}

// measureSize lets the store merge its tables, and weighs them. Merging goes on
// for as long as it makes the folder smaller.
func (b *bench) measureSize(ctx context.Context, dir string) error {
	log, err := openLog(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	size := int64(0)
	for last := int64(-1); size != last; {
		last = size
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), log.Close())
		}
		if size, err = sizeOf(dir); err != nil {
			return errors.Join(err, log.Close())
		}
	}
	if err := log.Close(); err != nil {
		return err
	}
	if size, err = sizeOf(dir); err != nil {
		return err
	}
	payloads := int64(b.events) * int64(len(payload(1)))
	b.report.bound(fmt.Sprintf("bytes on disk of %d events of 300 bytes", b.events),
		fmt.Sprintf("%d MiB", size>>20), float64(size)/float64(payloads), 1.3, "× payload")
	return nil
}

func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		size += info.Size()
		return nil
	})
	return size, err
}

// ignoreGone passes over a file that the store has removed meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (b *bench) compareAppends(ctx context.Context, full, empty *child) error {
	const c = 16
	var loads [2][]operation
	for i, node := range []*child{full, empty} {
		list, err := dial(node.addr, c)
		if err != nil {
			return err
		}
		defer func() { _ = list.close() }() // the nodes are stopped next
		for j := range c {
			loads[i] = append(loads[i], appendBy(list.of(j), "session-"+uuid.NewString()))
		}
	}
	samples, err := b.inTurns(ctx, loads[0], loads[1])
	if err != nil {
		return err
	}
	b.report.share(fmt.Sprintf("official client: append after %d events", b.events), c, &samples[0], "the same, to an empty log", &samples[1], 0.95)
	list, err := dial(full.addr, 1)
	if err != nil {
		return err
	}
	defer func() { _ = list.close() }() // the nodes are stopped next
	// Memory is what is resident after reading and writing, not at rest.
	if _, err := readAllBy(list[0], uint64(min(b.events, 300_000)))(ctx); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := list[0].ReadAll(ctx, esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1); err != nil {
		return err
	}
	resident, err := full.resident(ctx)
	if err != nil {
		return err
	}
	b.report.bound(fmt.Sprintf("resident with %d events, after appends and a read", b.events), "", float64(resident)/(1<<20), 150, "MiB")
	return nil
}
