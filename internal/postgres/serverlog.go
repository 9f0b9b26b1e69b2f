package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
)

const (
	maxLogSize = 8 << 20
	tailLines  = 20
	maxLine    = 4 << 10
)

// serverLog takes what the server prints: into a file that is rotated once,
// before it passes its bound, and the last lines into memory, to explain a death.
type serverLog struct {
	path string
	max  int64

	mu      sync.Mutex
	file    *os.File
	size    int64
	tail    []string
	partial []byte
}

func openServerLog(path string) (*serverLog, error) {
	l := &serverLog{path: path, max: maxLogSize}
	return l, l.open()
}

func (l *serverLog) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open the server's log: %w", err), file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write never fails: a full disk must not break the pipe that the server logs to.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(p)
	if l.size > 0 && l.size+int64(len(p)) > l.max {
		l.rotate()
	}
	if l.file != nil {
		n, _ := l.file.Write(p) // see above
		l.size += int64(n)
	}
	return len(p), nil
}

func (l *serverLog) rotate() {
	if l.file != nil {
		_ = l.file.Close() // written lines are the kernel's by now
		l.file = nil
	}
	if err := os.Rename(l.path, l.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = os.Truncate(l.path, 0) // the bound holds, whatever happens to the older lines
	}
	_ = l.open() // without a file the last lines are remembered still, and the next write tries again
}

func (l *serverLog) remember(p []byte) {
	for len(p) > 0 {
		line, rest, complete := bytes.Cut(p, []byte("\n"))
		l.partial = append(l.partial, line[:min(len(line), maxLine-len(l.partial))]...)
		if complete {
			l.tail = append(l.tail, string(l.partial))
			l.tail = l.tail[max(0, len(l.tail)-tailLines):]
			l.partial = l.partial[:0]
		}
		p = rest
	}
}

// forget empties the memory of last lines, before another server writes.
func (l *serverLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail, l.partial = nil, nil
}

// last is the server's last lines.
func (l *serverLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.tail
	if len(l.partial) > 0 {
		lines = append(slices.Clip(lines), string(l.partial))
	}
	return strings.Join(lines, "\n")
}

func (l *serverLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}
