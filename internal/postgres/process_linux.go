package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// diesWithParent says that the kernel ends the server of a process that dies.
const diesWithParent = true

func signalOnParentDeath(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

// serving lists the live server processes whose working directory is the folder
// data: a postmaster and its children, whoever started them. Zombies have none.
func serving(data string) ([]int, error) {
	folder, err := os.Stat(data)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the cluster: %w", err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		cwd, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
		if err != nil || !os.SameFile(cwd, folder) {
			continue
		}
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && isServer(strings.TrimSpace(string(comm))) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// socketDir reaches the folder of a socket by a short name: the address of a
// socket is limited to 107 bytes, the path of a data folder is not.
type socketDir struct{ dir *os.File }

func openSocketDir(data string) (*socketDir, error) {
	dir, err := os.Open(data)
	if err != nil {
		return nil, fmt.Errorf("open the socket's folder: %w", err)
	}
	return &socketDir{dir: dir}, nil
}

// dial may be called at any time: a pool that is closed still asks the server to
// cancel what it left. The folder stays open meanwhile, so that its number is not
// another file's.
func (s *socketDir) dial(ctx context.Context, name string) (conn net.Conn, err error) {
	folder, err := s.dir.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("dial the managed server: %w", err)
	}
	held := folder.Control(func(fd uintptr) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", fd, name))
	})
	if held != nil {
		return nil, fmt.Errorf("dial the managed server: its folder: %w", net.ErrClosed)
	}
	return conn, err
}

func (s *socketDir) close() error { return s.dir.Close() }
