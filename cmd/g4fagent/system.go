package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/commands/reactors"
	"github.com/g4fagent/g4fagent/commands/rest"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent/roster"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/feed"
	"github.com/g4fagent/g4fagent/internal/hostload"
	"github.com/g4fagent/g4fagent/internal/httpx"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/password"
	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/snapshot"
	"github.com/g4fagent/g4fagent/internal/token"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/idempotency"
	"github.com/g4fagent/g4fagent/projections/projects"
	"github.com/g4fagent/g4fagent/readapi"
	"github.com/g4fagent/g4fagent/readapi/live"
)

// system is the running server.
type system struct {
	*foundation

	config    *config
	tokens    *token.Tokens
	handlers  *commands.Handlers
	refusals  *commands.Refusals
	providers *roster.Roster
	feed      *feed.Feed
	engine    *projections.Engine
	reactors  *reactors.Reactors
	awaiter   *projections.Awaiter
	listener  *postgres.Listener
	access    *readapi.Access
	handler   http.Handler
	agreement *postgres.Agreement
	caughtUp  atomic.Bool
}

// endpoints are all operations of the document. One without a method here does
// not compile.
type endpoints struct {
	rest.Commands
	readapi.Reads
	later
}

var _ api.StrictServerInterface = endpoints{}

// newSystem puts everything together, from the log up to HTTP.
func newSystem(ctx context.Context, c *config, base *foundation, server *httpx.Server, r prometheus.Registerer) (*system, error) {
	s := &system{foundation: base, config: c, listener: base.db.NewListener()}
	var err error
	if s.agreement, err = base.fit(ctx, time.Now()); err != nil {
		return nil, err
	}
	if s.tokens, err = token.New(token.Options{
		Issuer: base.vault.HMACHex("token issuer"), Keys: [][32]byte{base.vault.DeriveKey("tokens")}, AccessTTL: c.accessTTL,
		Hash: base.vault.HMAC, Operator: token.Holder{UserID: commands.ServiceUserID, KeyID: commands.ConfiguredKeyID},
	}); err != nil {
		return nil, err
	}
	if err := s.newCommands(ctx, r); err != nil {
		return nil, err
	}
	if err := s.newReadModels(ctx, r); err != nil {
		return nil, err
	}
	return s, s.newHTTP(ctx, server, r)
}

func (s *system) newCommands(ctx context.Context, r prometheus.Registerer) error {
	hasher, err := password.NewHasher(password.HasherOptions{Registerer: r})
	if err != nil {
		return err
	}
	snapshots, err := snapshot.Open(ctx, s.db.Pool())
	if err != nil {
		return err
	}
	s.refusals = commands.NewRefusals(eventlog.Publisher{Log: s.log}, s.vault, time.Now, s.logger)
	s.handlers, err = commands.New(commands.Options{ //nolint:contextcheck // snapshots are written after their request has ended
		Log: s.log, Vault: s.vault, Keys: idempotency.Index{DB: s.db.Reader()}, Snapshots: snapshots,
		Passwords: hasher, Rules: password.Rules{}, Tokens: s.tokens,
		Throttle: password.NewThrottle(password.ThrottleOptions{Registerer: r}), Refusals: s.refusals,
		CountProjects: func(ctx context.Context) (int, error) { return projects.Count(ctx, s.db.Reader()) },
		Now:           time.Now, Limits: s.commandLimits(), Build: build, Logger: s.logger, Registerer: r,
	})
	if err != nil {
		return err
	}
	s.providers = newProviders(s.handlers)
	return nil
}

// newReadModels sets the read models up and what waits for them.
func (s *system) newReadModels(ctx context.Context, r prometheus.Registerer) error {
	installation, err := installationOf(ctx, s.log, s.handlers)
	if err != nil {
		return err
	}
	all := projectors()
	if err := projections.Setup(ctx, s.db.Pool(), installation, all...); err != nil {
		return fmt.Errorf("set up the read models: %w", err)
	}
	s.awaiter = projections.NewAwaiter(projections.AwaiterOptions{Projectors: all, Pool: s.db.Pool(), Logger: s.logger, Registerer: r})
	s.engine, err = projections.NewEngine(projections.Options{
		Pool: s.db.Pool(), Log: s.log, Source: source(s.log), Catalogue: eventschema.All, Sealer: s.vault, Projectors: all,
		InstallationID: installation, Awaiter: s.awaiter, Alone: s.config.databaseURL == "", Logger: s.logger, Registerer: r,
	})
	if err != nil {
		return err
	}
	s.listener.On(projections.Channel, func(string) { s.awaiter.Wake() })
	s.feed = feed.New(s.log, time.Now)
	s.access, err = readapi.NewAccess(s.db.Reader(), s.tokens, s.feed, progress{s.awaiter})
	if err != nil {
		return err
	}
	s.feed.Watch(s.access.Watch)
	s.feed.Watch(s.handlers.Watch)
	return s.newReactors(installation, r)
}

func (s *system) newHTTP(ctx context.Context, server *httpx.Server, r prometheus.Registerer) error {
	hub := live.NewHub(s.log, s.vault, live.Limits{PerUser: s.config.maxPerUser, PerNode: s.config.maxStreams}, s.logger, r)
	s.feed.Watch(hub.Watch)
	proxies, err := s.config.trustedProxies()
	if err != nil {
		return err
	}
	statistics := httpx.NewStatistics(time.Now)
	s.handler, err = httpx.New(httpx.Options{
		BasePath: s.config.basePath, Beside: s.beside(r), TrustedProxies: proxies, Origins: s.config.allowedOrigins(),
		Limits: httpx.Limits{Streams: s.config.maxStreams}, Hooks: s.hooks(), Log: s.logger, Metrics: r, Statistics: statistics,
	}, endpoints{
		Commands: rest.Commands{Handlers: s.handlers, Visibility: visibility{s.awaiter, s.feed}, Tickets: s.tokens, Providers: s.providers},
		Reads: readapi.Reads{
			DB: s.db.Reader(), Log: s.log, Sealer: s.vault, Sum: s.vault.HMAC, Hub: hub, Access: s.access, Progress: progress{s.awaiter}, Stopping: server.Streams(), Now: time.Now,
			Providers: s.providers,
			Node: readapi.Node{
				Version: version, Build: build, BasePath: s.config.basePath, Started: time.Now(), Features: shownFeatures(), Limits: s.shownLimits(),
				Checks: s.checks, Requests: statistics.Stats, Load: hostload.NewMeter(ctx, time.Now, s.logger),
			},
		},
	})
	return err
}

// Keys of the advisory locks by which nodes agree who does what.
var (
	projecting = postgres.LockKey("g4fagent", "projections")
)

// jobs are what runs as long as the server does.
func (s *system) jobs() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"the feed":        s.feed.Run,
		"the refusals":    s.refusals.Run,
		"the read models": func(ctx context.Context) error { return s.lead(ctx, projecting, s.engine.Run) },
		"the reactors":    s.react,
		"the awaiter":     s.awaiter.Run,
		"the listener":    s.listener.Run,
		"the agreement":   s.agreement.Hold,
		"Postgres":        func(ctx context.Context) error { return until(ctx, s.db.Done(), s.db.Err) },
		"the event store": func(ctx context.Context) error {
			if s.node == nil {
				<-ctx.Done()
				return nil
			}
			return until(ctx, s.node.Done(), s.node.Err)
		},
	}
}

// lead runs what one node does for all, whenever this node is the one. It gives
// up on what would come again on every node.
func (s *system) lead(ctx context.Context, key int64, run func(context.Context) error) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	err := s.db.Lead(ctx, key, func(ctx context.Context) error {
		err := run(ctx)
		if permanent(err) {
			giveUp(err)
		}
		return err
	})
	if cause := context.Cause(ctx); permanent(cause) {
		return cause
	}
	return err
}

// permanent reports whether the read models and this program, or this log, do not
// fit together.
func permanent(err error) bool {
	return errors.Is(err, projections.ErrSchemaChanged) || errors.Is(err, projections.ErrOtherInstallation) || errors.Is(err, projections.ErrAheadOfLog) ||
		errors.Is(err, reactors.ErrOtherInstallation) || errors.Is(err, reactors.ErrAheadOfLog)
}

// until waits for the end of something that should not end.
func until(ctx context.Context, done <-chan struct{}, cause func() error) error {
	select {
	case <-done:
		return cause()
	case <-ctx.Done():
		return nil
	}
}

// visibility waits for read models, and for this node's own view of who may act.
type visibility struct {
	awaiter *projections.Awaiter
	feed    *feed.Feed
}

// Await implements rest.Visibility.
func (v visibility) Await(ctx context.Context, at eventlog.Position, types []string) bool {
	lagging, err := v.awaiter.WaitTypes(ctx, at, types)
	for _, t := range types {
		if strings.HasPrefix(t, "user.") || strings.HasPrefix(t, "auth.") {
			return v.feed.Wait(ctx, at) != nil || lagging || err != nil
		}
	}
	return lagging || err != nil
}

// progress waits for read models by name.
type progress struct{ awaiter *projections.Awaiter }

// Await implements readapi.Progress.
func (p progress) Await(ctx context.Context, at eventlog.Position, readModels ...string) bool {
	lagging, err := p.awaiter.Wait(ctx, at, readModels)
	return lagging || err != nil
}

func (s *system) hooks() httpx.Hooks {
	return httpx.Hooks{
		Authenticate:  s.authenticate,
		Exists:        s.exists,
		AwaitPosition: s.awaitPosition,
		Refused:       func(ctx context.Context, r httpx.Refusal) { s.refusals.AccessDenied(ctx, r.Code) },
	}
}

func (s *system) authenticate(ctx context.Context, c httpx.Credentials) (identity.Principal, error) {
	if s.config.authDisabled {
		return identity.Principal{UserID: commands.FirstAdminID, Kind: identity.User, Roles: []string{"admin"}}, nil
	}
	return s.access.Authenticate(ctx, c)
}

// exists says of a request whose body is wrong whether what its path names is
// there: the path is the first mistake.
func (s *system) exists(ctx context.Context, _ api.Operation, params map[string]string) error {
	return s.handlers.Exists(ctx, params)
}

var errPosition = fault.New(fault.Invalid, "invalid_request", "X-Min-Position is no position of this log.").With("field", "X-Min-Position")

const minPositionWithin = 2 * time.Second

// awaitPosition lets a GET see what another node has written.
func (s *system) awaitPosition(ctx context.Context, raw string) error {
	position, err := eventlog.ParsePosition(raw)
	if err != nil {
		return errPosition
	}
	if s.feed.Position().Less(position) {
		head, err := s.log.Head(ctx)
		if err != nil {
			return err
		}
		if head.Less(position) {
			return errPosition
		}
	}
	ctx, cancel := context.WithTimeout(ctx, minPositionWithin)
	defer cancel()
	if lagging, err := s.awaiter.Wait(ctx, position, projectorNames()); lagging || err != nil {
		httpx.Header(ctx).Set("X-Read-Model", "lagging")
	}
	return nil
}

func projectorNames() []string {
	var names []string
	for _, p := range projectors() {
		names = append(names, p.Name)
	}
	return names
}

func (s *system) commandLimits() commands.Limits {
	return commands.Limits{MaxSessionsPerProject: maxSessionsPerProject, MaxProjects: maxProjects, RefreshTTL: s.config.refreshTTL}
}

// What the platform bounds; GET /capabilities tells.
const (
	maxProjects           = 1000
	maxSessionsPerProject = 10_000
	maxFileSize           = 2 << 20
	maxUploadSize         = 200 << 20
	maxContextTokens      = 200_000
)

func (s *system) shownLimits() api.Limits {
	return api.Limits{
		MaxProjects: maxProjects, MaxSessionsPerProject: maxSessionsPerProject, MaxFileSizeBytes: maxFileSize,
		MaxUploadSizeBytes: maxUploadSize, MaxContextTokens: maxContextTokens,
		MaxConcurrentRuns: s.config.runWorkers,
	}
}
