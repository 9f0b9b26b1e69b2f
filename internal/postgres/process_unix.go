//go:build unix && !linux

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// diesWithParent says that a server outlives a parent that was killed, and is
// ended by the next start.
const diesWithParent = false

func signalOnParentDeath(*syscall.SysProcAttr, syscall.Signal) {}

// serving is the live postmaster that the folder data names. Its children leave
// by themselves when it ends.
func serving(data string) ([]int, error) {
	pid := recordedPostmaster(data)
	if pid == 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return nil, nil
	}
	out, err := exec.Command("ps", "-o", "stat=,comm=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // ps answers at once
	if err != nil {
		return nil, nil //nolint:nilerr // ps fails when the process has just gone
	}
	stat, command, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(stat, "Z") || !isServer(filepath.Base(strings.TrimSpace(command))) {
		return nil, nil
	}
	return []int{pid}, nil
}

// socketDir reaches the folder of a socket by a short name, a symbolic link: the
// address of a socket is limited to 103 bytes, the path of a data folder is not.
type socketDir struct{ temp string }

func openSocketDir(data string) (*socketDir, error) {
	temp, err := os.MkdirTemp("", "g4fagent-pg-")
	if err != nil {
		return nil, fmt.Errorf("make a short way to the socket: %w", err)
	}
	if err := os.Symlink(data, filepath.Join(temp, "pg")); err != nil {
		return nil, errors.Join(fmt.Errorf("make a short way to the socket: %w", err), os.RemoveAll(temp))
	}
	return &socketDir{temp: temp}, nil
}

func (s *socketDir) dial(ctx context.Context, name string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.temp, "pg", name))
}

func (s *socketDir) close() error { return os.RemoveAll(s.temp) }
