package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// process is one life of the managed server.
type process struct {
	cmd    *exec.Cmd
	data   string
	output *serverLog
	exited chan struct{} // closed once err is set
	err    error
}

func startProcess(c *cluster, output *serverLog) (*process, error) {
	output.forget()
	p := &process{cmd: c.command(), data: c.data, output: output, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.WaitDelay = time.Second // children of a killed postmaster hold the pipe a little longer
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("run the server: %w", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// death tells how the server ended, in its own last words. It has exited.
func (p *process) death() error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("postgres (pid %d) ended by itself: %s; it last said:\n%s", p.cmd.Process.Pid, how, p.output.last())
}

// alive is the server's process id while it has not ended, or 0.
func (p *process) alive() int {
	if p == nil {
		return 0
	}
	select {
	case <-p.exited:
		return 0
	default:
		return p.cmd.Process.Pid
	}
}

// end ends the server and all it started, in stages until ctx ends.
func (p *process) end(ctx context.Context) error {
	if _, err := endServer(ctx, p.data, p); err != nil {
		return err
	}
	<-p.exited
	return nil
}

// kill ends a server that never was ready: without stages.
func (p *process) kill(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return p.end(ctx)
}

const (
	firstProbe = 2 * time.Millisecond
	slowProbe  = 100 * time.Millisecond
	probeWait  = 10 * time.Second
	// tellEvery is how often a long wait for recovery is mentioned.
	tellEvery = 10 * time.Second
)

// awaitAnswer asks a server for an answer until it gives one. It returns early
// when asking again cannot help: wrong credentials, no such database.
func awaitAnswer(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) error {
	began, told := time.Now(), time.Now()
	wait := backoff{min: firstProbe, max: slowProbe}
	for {
		err := probe(ctx, config)
		if err == nil {
			return nil
		}
		if !mayPass(err) || !wait.pause(ctx) {
			return fmt.Errorf("wait for the server's answer: %w", err)
		}
		if time.Since(told) > tellEvery {
			told = time.Now()
			log.LogAttrs(ctx, slog.LevelWarn, "Postgres does not answer yet", slog.Duration("waited", time.Since(began)), slog.Any("cause", err))
		}
	}
}

func probe(ctx context.Context, config *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	_, err = conn.Exec(ctx, "select 1")
	return err
}

// mayPass reports whether an error of connecting is one of a server that is
// starting, or full, or not there yet.
func mayPass(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return true
	}
	switch refusal.Code {
	case "57P03", "57P01", "57P02", "53300": // starting or stopping, being stopped, crashed, too many connections
		return true
	}
	return false
}
