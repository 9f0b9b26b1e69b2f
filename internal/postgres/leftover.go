package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	stageWait = 10 * time.Second
	stagePoll = 10 * time.Millisecond
)

// isServer reports whether a command's name is the server's, plain or wrapped.
func isServer(command string) bool {
	return strings.Contains(command, "postgres") || strings.Contains(command, "postmaster")
}

// recordedPostmaster is the process id in the cluster's postmaster.pid, or 0.
func recordedPostmaster(data string) int {
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(content, []byte("\n"))
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// endServer ends every process that serves the folder data: the postmaster is
// asked for a fast shutdown, then for an immediate one, then all are killed.
// Each gets ten seconds, the first two within ctx. A child of this
// process, own, is known before it has entered the folder; nil is none. It
// reports whether there was anything to end.
func endServer(ctx context.Context, data string, own *process) (bool, error) {
	found := false
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		pids, err := involved(data, own)
		if err != nil || len(pids) == 0 {
			return found, err
		}
		found = true
		sendTo(pids, cmp.Or(own.alive(), recordedPostmaster(data)), signal)
		gone, err := awaitGone(ctx, data, own, signal)
		if err != nil || gone {
			return found, err
		}
	}
	return found, fmt.Errorf("processes still serve %s after SIGKILL", data)
}

// involved lists the processes that serve the folder data, and own while it lives.
func involved(data string, own *process) ([]int, error) {
	pids, err := serving(data)
	if pid := own.alive(); pid != 0 && !slices.Contains(pids, pid) {
		pids = append(pids, pid)
	}
	return pids, err
}

// sendTo signals the postmaster, which passes it on. Where it is gone its
// children, who are leaving, are made to.
func sendTo(pids []int, postmaster int, signal syscall.Signal) {
	if signal != syscall.SIGKILL && slices.Contains(pids, postmaster) {
		pids = []int{postmaster}
	} else if signal == syscall.SIGINT {
		signal = syscall.SIGQUIT // to a child SIGINT only means: cancel the query
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal) // whoever has just gone needs none
	}
}

func awaitGone(ctx context.Context, data string, own *process, signal syscall.Signal) (bool, error) {
	if signal == syscall.SIGKILL {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, stageWait)
	defer cancel()
	ticker := time.NewTicker(stagePoll)
	defer ticker.Stop()
	for {
		pids, err := involved(data, own)
		if err != nil || len(pids) == 0 {
			return err == nil, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false, nil
		}
	}
}

// clearStale removes what a server that ended badly leaves in the folder data.
// Nobody may be serving it: Postgres itself takes a recorded process id that is
// alive again, or a zombie, for a server, and would never start.
func clearStale(data string) error {
	for _, name := range []string{"postmaster.pid", socketName, socketName + ".lock"} {
		if err := os.Remove(filepath.Join(data, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a stale file: %w", err)
		}
	}
	return nil
}
