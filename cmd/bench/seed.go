package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/ident"
	"github.com/g4fagent/g4fagent/internal/vault"
)

const (
	// longSession is how many events the long session gets at most.
	longSession = 100_000
	seedBatch   = 400
	seedOthers  = 50
)

// long is what seed has made.
type long struct {
	session string
	events  int // in the session
}

// seed makes the log long. The server is stopped meanwhile: one process has the
// log. It is started again, and has caught up, when seed returns.
func (b *bench) seed(ctx context.Context) error {
	sessions, err := b.server.createSessions(ctx, b.project, 1+seedOthers)
	if err != nil {
		return err
	}
	if err := b.server.stop(); err != nil {
		return err
	}
	head, err := b.appendSeed(ctx, sessions)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.server.start(ctx); err != nil {
		return err
	}
	if err := b.server.reach(ctx, head); err != nil {
		return err
	}
	took := time.Since(began)
	b.seeded = long{sessions[0], min(b.events, longSession)}
	b.report.add(row{
		part: "start", what: fmt.Sprintf("server started, and caught up with %d events", b.events),
		ours: figure{rate: float64(b.events) / took.Seconds()}, verdict: short(took),
	})
	return nil
}

// reach waits until the read models show everything up to the position.
func (s *server) reach(ctx context.Context, head eventlog.Position) error {
	c, err := dial(ctx, s.address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing is left to be sent
	get := s.request(http.MethodGet, "/projects?limit=1", "", "X-Min-Position: "+head.String())
	for ctx.Err() == nil {
		a, err := c.exchange(get, false)
		if err != nil {
			return err
		}
		if !a.lagging {
			return nil
		}
	}
	return ctx.Err()
}

// appendSeed appends messages as posting them would have done, many at a time,
// and returns the last one's position.
func (b *bench) appendSeed(ctx context.Context, sessions []string) (head eventlog.Position, err error) {
	log, end, err := openLog(ctx, b.data())
	if err != nil {
		return head, err
	}
	defer func() { err = errors.Join(err, end()) }()
	keys, err := vault.OpenFolder(filepath.Join(b.data(), "keys", "data"))
	if err != nil {
		return head, fmt.Errorf("open the keys: %w", err)
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	sealer, err := vault.Unlock(ctx, vault.Options{KeyFile: filepath.Join(b.data(), "keys", "installation.key"), Store: keys})
	if err != nil {
		return head, fmt.Errorf("unlock the keys: %w", err)
	}
	s := seeder{log: log, vault: sealer, project: b.project}
	if err := s.fill(ctx, sessions[0], min(b.events, longSession)); err != nil {
		return head, err
	}
	for i, rest := 0, b.events-longSession; rest > 0; i++ {
		n := min(rest, seedBatch)
		if err := s.fill(ctx, sessions[1+i%seedOthers], n); err != nil {
			return head, err
		}
		rest -= n
	}
	return s.head, nil
}

// openLog opens the log of a stopped server as the server does.
func openLog(ctx context.Context, data string) (*eventlog.Log, func() error, error) {
	secret := rand.Text()
	node, err := esnode.Start(ctx, esnode.Options{Dir: filepath.Join(data, "log"), Listen: "127.0.0.1:0", Username: "bench", Password: secret})
	if err != nil {
		return nil, nil, fmt.Errorf("start the event store: %w", err)
	}
	end := func() error {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
		defer cancel()
		return node.Close(bound)
	}
	log, err := eventlog.Open(ctx, eventlog.Options{Address: node.Addr(), Username: "bench", Password: secret})
	if err == nil {
		err = log.Ready(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the log: %w", err), end())
	}
	return log, func() error {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
		defer cancel()
		return errors.Join(log.Close(bound), end())
	}, nil
}

type seeder struct {
	log       *eventlog.Log
	vault     *vault.Vault
	project   string
	revisions map[string]int64
	head      eventlog.Position
}

// fill appends n messages to the session.
func (s *seeder) fill(ctx context.Context, session string, n int) error {
	stream := "session-" + session
	revision, err := s.revision(ctx, stream)
	if err != nil {
		return err
	}
	for n > 0 {
		batch := make([]eventlog.Event, min(n, seedBatch))
		for i := range batch {
			if batch[i], err = s.message(session); err != nil {
				return err
			}
		}
		done, err := s.log.Append(ctx, stream, revision, batch...)
		if err != nil {
			return err
		}
		revision, s.head = done.Revision, done.Position
		n -= len(batch)
	}
	s.revisions[stream] = revision
	return nil
}

func (s *seeder) revision(ctx context.Context, stream string) (int64, error) {
	if s.revisions == nil {
		s.revisions = map[string]int64{}
	}
	if r, ok := s.revisions[stream]; ok {
		return r, nil
	}
	last, err := s.log.ReadLast(ctx, stream, 1)
	if err != nil || len(last) == 0 {
		return eventlog.NoStream, err
	}
	return last[0].Revision, nil
}

func (s *seeder) message(session string) (eventlog.Event, error) {
	id, err := ident.New("msg")
	if err != nil {
		return eventlog.Event{}, err
	}
	stored, err := eventschema.All.Encode(eventschema.MessagePosted{
		SessionID: session, ProjectID: s.project, MessageID: ident.Within(s.vault.HMAC, session, id), Role: "user",
		Content: json.RawMessage(`[{"type":"text","text":"` + text + `"}]`), Meta: json.RawMessage(`{}`),
	}, s.vault)
	if err != nil {
		return eventlog.Event{}, err
	}
	eventID, err := uuid.NewV7()
	if err != nil {
		return eventlog.Event{}, err
	}
	request := uuid.NewString()
	return eventlog.Event{ID: eventID, Stored: stored, Meta: eventlog.Meta{
		At: time.Now().UTC().Truncate(time.Microsecond), ActorUserID: "user_admin", ActorKind: "user", ProjectID: s.project,
		RequestID: request, CorrelationID: request, IP: "127.0.0.1",
	}}, nil
}
