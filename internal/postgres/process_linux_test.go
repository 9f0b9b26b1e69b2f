package postgres

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
)

func TestServerOutlivesTheThreadThatOpenedIt(t *testing.T) {
	t.Parallel()
	dir := clusterFolder(t)
	opened, thread := make(chan *DB), 0
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		thread = syscall.Gettid()
		db, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Error(err)
		}
		opened <- db
	}()
	db := <-opened
	if db == nil {
		return
	}
	t.Cleanup(func() { closeDB(t, db) })
	eventually(t, "the thread to end", func() bool { return !fileExists(fmt.Sprintf("/proc/self/task/%d", thread)) })
	for range 20 {
		conn, err := db.Connect(t.Context())
		if err != nil {
			t.Fatalf("the server ended with the thread: %v", err)
		}
		closeConn(conn)
	}
	if n := db.server.restarts.Load(); n != 0 {
		t.Errorf("%d restarts", n)
	}
}
