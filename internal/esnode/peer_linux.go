package esnode

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// peerUID is the account of the process at the other end of a Unix socket.
func peerUID(conn net.Conn) (uid int, known bool, err error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false, errors.New("not a Unix socket")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, false, err
	}
	return int(cred.Uid), true, nil
}
