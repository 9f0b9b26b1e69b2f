package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin" //nolint:depguard // the yardstick is gin itself

	"github.com/g4fagent/g4fagent/internal/postgres"
)

// bareCommand makes this program the yardstick of GETs: a process that answers
// from gin and one select, and does nothing else.
const bareCommand = "bare-gin"

const (
	bareSession = "sess_0123456789abcdef0123456789abcdef"
	barePage    = 50
)

type bareRow struct {
	ID         string    `json:"id"`
	ProjectID  string    `json:"project_id"`
	Title      string    `json:"title"`
	Status     string    `json:"status"`
	ProviderID string    `json:"provider_id"`
	ModelID    string    `json:"model_id"`
	Config     string    `json:"config"`
	Memory     string    `json:"memory"`
	Tags       []string  `json:"tags"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

type bareMessage struct {
	ID        string    `json:"id"`
	SessionID string    `json:"session_id"`
	Role      string    `json:"role"`
	Content   string    `json:"content"`
	Meta      string    `json:"meta"`
	TS        time.Time `json:"ts"`
}

// serveBare is the yardstick's whole life.
func serveBare(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	db, err := postgres.Open(ctx, postgres.Options{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		return fmt.Errorf("open Postgres: %w", err)
	}
	err = serveBareOn(ctx, db)
	bound, cancel := context.WithTimeout(context.Background(), closeBound)
	defer cancel()
	return errors.Join(err, db.Close(bound))
}

func serveBareOn(ctx context.Context, db *postgres.DB) error {
	if err := fillBare(ctx, db); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is instant
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/sessions/:id", bare{db}.item)
	engine.GET("/sessions/:id/messages", bare{db}.list)
	server := &http.Server{Handler: engine, ReadHeaderTimeout: exchangeBound}
	go func() {
		<-ctx.Done()
		_ = server.Close() // nobody waits for an answer
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func fillBare(ctx context.Context, db *postgres.DB) error {
	for _, sql := range []string{
		`create table sessions (id text primary key, project_id text not null, title text not null, status text not null,
			provider_id text not null, model_id text not null, config text not null, memory text not null, tags text[] not null,
			created_at timestamptz not null, updated_at timestamptz not null)`,
		`create table messages (session_id text, position bigint, id text not null, role text not null, content text not null,
			meta text not null, ts timestamptz not null, primary key (session_id, position))`,
		`insert into sessions values ('` + bareSession + `', 'proj_0123456789abcdef0123456789abcdef', 'Bench', 'active', 'custom', 'm', '{}', '{}', '{}', now(), now())`,
		`insert into messages select '` + bareSession + `', n, 'msg_' || md5(n::text), 'user', '[{"type":"text","text":"` + text + `"}]', '{}', now()
			from generate_series(1, 1000) n`,
		`analyze`,
	} {
		if _, err := db.Pool().Exec(ctx, sql); err != nil {
			return fmt.Errorf("fill the yardstick's tables: %w", err)
		}
	}
	return nil
}

// bare answers requests.
type bare struct{ db *postgres.DB }

func (b bare) item(c *gin.Context) {
	var r bareRow
	err := b.db.Pool().QueryRow(c.Request.Context(), `select id, project_id, title, status, provider_id, model_id, config, memory, tags, created_at, updated_at
		from sessions where id = $1`, c.Param("id")).Scan(
		&r.ID, &r.ProjectID, &r.Title, &r.Status, &r.ProviderID, &r.ModelID, &r.Config, &r.Memory, &r.Tags, &r.CreatedAt, &r.UpdatedAt)
	if err != nil {
		c.Status(http.StatusInternalServerError)
		return
	}
	c.JSON(http.StatusOK, r)
}

func (b bare) list(c *gin.Context) {
	rows, err := b.db.Pool().Query(c.Request.Context(), `select id, session_id, role, content, meta, ts
		from messages where session_id = $1 and position > 0 order by position limit $2`, c.Param("id"), barePage)
	if err != nil {
		c.Status(http.StatusInternalServerError)
		return
	}
	defer rows.Close()
	list := make([]bareMessage, 0, barePage)
	for rows.Next() {
		var m bareMessage
		if err := rows.Scan(&m.ID, &m.SessionID, &m.Role, &m.Content, &m.Meta, &m.TS); err != nil {
			c.Status(http.StatusInternalServerError)
			return
		}
		list = append(list, m)
	}
	c.JSON(http.StatusOK, list)
}

// bareServer is the yardstick's process.
type bareServer struct {
	cmd     *exec.Cmd
	address string
}

// startBare starts it and waits until it says where it is.
func (l *limits) startBare() error {
	if l.bare != nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	dir := filepath.Join(l.dir, "bare")
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // Postgres may run as another account
		return fmt.Errorf("make the yardstick's folder: %w", err)
	}
	cmd := exec.Command(self, bareCommand, dir) //nolint:gosec,noctx // this program; stop ends it in order
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read the yardstick's output: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the yardstick: %w", err)
	}
	l.bare = &bareServer{cmd: cmd}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("wait for the yardstick: %w", err)
	}
	l.bare.address = strings.TrimSpace(address)
	return nil
}

func (s *bareServer) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("end the yardstick: %w", err)
	}
	return nil
}
