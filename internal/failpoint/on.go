//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Hit kills the process, as kill -9 does, the nth time that it comes to the
// place which G4FAGENT_FAILPOINT names as name:n.
func Hit(name string) {
	want, count, _ := strings.Cut(os.Getenv("G4FAGENT_FAILPOINT"), ":")
	if want != name {
		return
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || hits.Add(1) != n {
		return
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(err)
	}
	select {} // the signal is on its way
}

var hits atomic.Int64
