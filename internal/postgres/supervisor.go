package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// recoveryWait bounds how long a server that is started again may take to
// answer: it may have much to recover, and the first start is bounded by whoever
// opens it.
const recoveryWait = 10 * time.Minute

var errStopped = errors.New("the managed Postgres was stopped")

// patience says how hard a server that dies is brought back.
type patience struct {
	firstPause, maxPause time.Duration
	// steady is how long a server lives before its death is a new trouble.
	steady time.Duration
	// giveUp bounds a trouble.
	giveUp time.Duration
}

var defaultPatience = patience{
	firstPause: 50 * time.Millisecond, maxPause: 10 * time.Second, steady: time.Minute, giveUp: 5 * time.Minute,
}

// supervisor owns the managed server: it starts it, starts it again when it
// dies, and ends it.
type supervisor struct {
	cluster  *cluster
	patience patience
	lock     *os.File
	output   *serverLog
	log      *slog.Logger
	restarts atomic.Int64 // which also numbers the server's lives
	pid      atomic.Int64 // of the server that answered last

	stop     context.CancelFunc // ends the server's life
	closeCtx context.Context    // bounds the shutdown, set before stop
	closeErr error              // how the shutdown went, set before done
	done     chan struct{}

	// Only the goroutine of run uses these.
	readySince, troubleSince time.Time
	wait                     backoff

	mu     sync.Mutex
	down   error // why the server does not answer now
	failed error // why it was given up
}

// startManaged makes the folder this process's own and starts a server in it.
func startManaged(ctx context.Context, o Options) (*supervisor, error) {
	account, err := serverAccount(o.User)
	if err != nil {
		return nil, err
	}
	dir, err := makeDir(o.Dir, account)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	s := &supervisor{lock: lock, patience: defaultPatience, log: o.Logger, done: make(chan struct{})}
	if o.patience != nil {
		s.patience = *o.patience
	}
	s.wait = backoff{min: s.patience.firstPause, max: s.patience.maxPause}
	if err := s.begin(ctx, dir, account, o); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// makeDir makes the folder, finds its real name, and checks the way to it.
func makeDir(dir string, account account) (string, error) {
	if dir == "" {
		return "", errors.New("no folder was named for it")
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", fmt.Errorf("make the folder: %w", err)
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("find the folder: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("find the folder: %w", err)
	}
	if account.switched { // the server's account passes through to the cluster, which is its own
		if err := os.Chmod(dir, 0o711); err != nil {
			return "", fmt.Errorf("let %s pass the folder: %w", account.name, err)
		}
	}
	return dir, account.reaches(dir)
}

func (s *supervisor) begin(ctx context.Context, dir string, account account, o Options) error {
	var err error
	if s.output, err = openServerLog(filepath.Join(dir, "postgres.log")); err != nil {
		return err
	}
	if s.cluster, err = openCluster(ctx, dir, account, o); err != nil {
		return err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx)) // ends with close, not with the start
	s.stop = stop
	first := make(chan error, 1)
	go s.run(life, ctx, first)
	if err := <-first; err != nil {
		stop()
		<-s.done
		return err
	}
	return nil
}

// run keeps its thread for life: the kernel signals the server when the thread
// that started it ends, which must not be before the process does. The first
// start is bounded by starting.
func (s *supervisor) run(life, starting context.Context, first chan<- error) {
	runtime.LockOSThread()
	defer close(s.done)
	p, err := s.launch(starting)
	first <- err
	for err == nil {
		select {
		case <-p.exited:
			p, err = s.revive(life, p.death())
		case <-life.Done():
			s.closeErr = p.end(s.closeCtx) //nolint:contextcheck // whoever closes bounds the shutdown, and life has ended
			err = errStopped
		}
	}
	s.finish(life, err)
}

// launch starts a server and waits until it answers.
func (s *supervisor) launch(ctx context.Context) (*process, error) {
	if _, err := endServer(ctx, s.cluster.data, nil); err != nil {
		return nil, err
	}
	if err := clearStale(s.cluster.data); err != nil {
		return nil, err
	}
	began := time.Now()
	p, err := startProcess(s.cluster, s.output)
	if err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx, p); err != nil {
		return nil, errors.Join(err, p.kill(ctx))
	}
	s.readySince = time.Now()
	s.pid.Store(int64(p.cmd.Process.Pid))
	s.setDown(nil)
	s.log.LogAttrs(ctx, slog.LevelInfo, "the managed Postgres is ready",
		slog.Int("pid", p.cmd.Process.Pid), slog.Duration("took", time.Since(began)), slog.String("folder", s.cluster.data))
	return p, nil
}

// awaitReady waits for the server's answer, or for its end.
func (s *supervisor) awaitReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	answered := make(chan struct{}) // closed once err is set
	go func() {
		defer close(answered)
		err = awaitAnswer(ctx, s.cluster.socket.config("postgres").ConnConfig, s.log)
	}()
	select {
	case <-answered:
		return err
	case <-p.exited:
		cancel()
		<-answered
		return p.death()
	}
}

// revive brings back a server that died of cause, or gives up.
func (s *supervisor) revive(life context.Context, cause error) (*process, error) {
	if time.Since(s.readySince) > s.patience.steady || s.troubleSince.IsZero() {
		s.troubleSince = time.Now()
		s.wait.reset()
	}
	for time.Since(s.troubleSince) < s.patience.giveUp {
		s.setDown(fmt.Errorf("the managed Postgres is being restarted: %w", cause))
		s.log.LogAttrs(life, slog.LevelError, "the managed Postgres died and is started again", slog.Any("cause", cause))
		if !s.wait.pause(life) {
			return nil, errStopped
		}
		s.restarts.Add(1)
		ctx, cancel := context.WithTimeout(life, recoveryWait)
		p, err := s.launch(ctx)
		cancel()
		switch {
		case err == nil:
			return p, nil
		case life.Err() != nil:
			return nil, errStopped
		}
		cause = err
	}
	return nil, fmt.Errorf("the managed Postgres could not be kept alive for %s: %w", s.patience.giveUp, cause)
}

// finish keeps why there is no server any more.
func (s *supervisor) finish(life context.Context, err error) {
	if !errors.Is(err, errStopped) {
		s.log.LogAttrs(life, slog.LevelError, "the managed Postgres is given up", slog.Any("cause", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
	if !errors.Is(err, errStopped) {
		s.failed = err
	}
}

// close ends the server and gives the folder back.
func (s *supervisor) close(ctx context.Context) error {
	s.closeCtx = ctx
	s.stop()
	<-s.done
	return errors.Join(s.closeErr, s.release())
}

func (s *supervisor) release() error {
	var errs []error
	if s.cluster != nil && s.cluster.socket != nil {
		errs = append(errs, s.cluster.socket.close())
	}
	if s.output != nil {
		errs = append(errs, s.output.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

func (s *supervisor) setDown(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = cause
}

// state is nil while the server answers, and else says why it does not.
func (s *supervisor) state() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// failure is why the server was given up.
func (s *supervisor) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}
