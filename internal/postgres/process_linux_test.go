package postgres

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

func TestServerOutlivesTheThreadThatOpenedIt(t *testing.T) {
	t.Parallel()
	dir := clusterFolder(t)
	opened, thread := make(chan *DB, 1), 0
	var onThreadOfItsOwn func()
	onThreadOfItsOwn = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if thread = syscall.Gettid(); thread == os.Getpid() {
			go onThreadOfItsOwn() // all threads end but the main one, which is kept busy here
			<-t.Context().Done()
			return
		}
		db, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Error(err)
		}
		opened <- db
	}
	go onThreadOfItsOwn()
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
		closeConn(t.Context(), conn)
	}
	if n := db.server.restarts.Load(); n != 0 {
		t.Errorf("%d restarts", n)
	}
}

func TestDiallingWhileTheSocketsFolderIsClosed(t *testing.T) {
	t.Parallel()
	dir, err := openSocketDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dialled, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		<-dialled
		closed <- dir.close()
	}()
	for once := sync.OnceFunc(func() { close(dialled) }); ; once() {
		_, err := dir.dial(t.Context(), socketName)
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if !errors.Is(err, os.ErrNotExist) { // nobody listens there
			t.Fatalf("got %v", err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
