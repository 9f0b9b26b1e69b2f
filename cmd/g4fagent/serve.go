package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/internal/httpx"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/password"
)

const (
	// drain and closeBound together stay below ten seconds.
	drain      = 6 * time.Second
	closeBound = 3500 * time.Millisecond
)

func newServe() *cobra.Command {
	c := &config{}
	serve := &cobra.Command{
		Use: "serve", Aliases: []string{"server"}, Args: cobra.NoArgs,
		Short: "Serve the API",
		Long: `Serve the API.

Without --eventstore-url and --database-url the event store and Postgres are part
of the server, in the data folder. The first start makes an administrator and
prints the password, once, unless G4FAGENT_ADMIN_PASSWORD sets it.

SIGTERM and Ctrl-C end it in order: no new requests, streams end with a reason,
commands finish, at most ten seconds in all. A second signal ends it at once.

The variable in brackets stands in for a flag that is not given. What is set by
variables alone:

` + unflaggedHelp(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.load(cmd.Flags(), os.Getenv); err != nil {
				return err
			}
			logger, err := c.logger()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, logger, cmd.OutOrStdout())
		},
	}
	c.serveFlags(serve.Flags())
	return serve
}

// serve runs the server until ctx ends or something it cannot do without fails.
func serve(ctx context.Context, c *config, logger *slog.Logger, out io.Writer) (err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// The port is taken before anything else starts: a second server fails here.
	server, err := httpx.Listen(ctx, httpx.ServerOptions{
		Address: net.JoinHostPort(c.host, strconv.Itoa(c.port)), CertFile: c.tlsCert, KeyFile: c.tlsKey, Drain: drain, Log: logger,
	})
	if err != nil {
		return err
	}
	base, err := open(ctx, c, logger, registry)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	defer func() {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
		defer cancel()
		err = errors.Join(err, base.close(bound))
	}()
	if c.pprof != "" {
		end, err := serveAside(ctx, "pprof", c.pprof, profiles(), logger)
		if err != nil {
			return errors.Join(err, server.Close())
		}
		defer end()
	}
	s, err := newSystem(ctx, c, base, server, registry)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	first, err := s.prepare(ctx)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	return s.run(ctx, server, func() { greet(out, c, server.Addr().String(), first) })
}

// run keeps everything going until the server has drained; only then does what
// requests depend on end. It calls ready before the first request is answered.
func (s *system) run(ctx context.Context, server *httpx.Server, ready func()) error {
	background, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	foreground, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group errgroup.Group
	for name, job := range s.jobs() {
		group.Go(func() error {
			err := job(background)
			if background.Err() == nil {
				err = fmt.Errorf("%s ended: %w", name, errors.Join(err, errUnexpected))
				stop(err)
				return err
			}
			return nil
		})
	}
	// Nobody is let in before everybody who must know what happens is listening.
	if s.feed.Begun(foreground) == nil {
		ready()
	}
	served := server.Serve(foreground, s.handler)
	end(nil)
	err := errors.Join(served, group.Wait())
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
	defer cancel()
	return errors.Join(err, s.handlers.Close(bound))
}

var errUnexpected = errors.New("it was to run as long as the server")

// greet tells where everything is, and the first password, once.
func greet(out io.Writer, c *config, address, password string) {
	scheme := "http"
	if c.tlsCert != "" {
		scheme = "https"
	}
	store, database := "embedded", "managed"
	if c.eventStoreURL != "" {
		store = "external"
	}
	if c.databaseURL != "" {
		database = "external"
	}
	fmt.Fprintf(out, "G4FAgent %s (%s) is ready.\n\n  API          %s://%s%s\n  reference    %s://%s/docs\n  data folder  %s\n  event store  %s\n  Postgres     %s\n  admin        %s\n",
		version, build, scheme, address, c.basePath, scheme, address, c.dataDir, store, database, c.adminEmail)
	if password != "" {
		fmt.Fprintf(out, "  password     %s   (shown this once)\n", password)
	}
	fmt.Fprintln(out)
}

// prepare makes what a first start needs: the installation's id, the first
// administrator, the service account. It returns the password it made, if any.
func (s *system) prepare(ctx context.Context) (generated string, err error) {
	exists, err := s.handlers.HasFirstAdmin(ctx)
	if err != nil {
		return "", err
	}
	if !exists {
		secret := s.config.adminPassword
		if secret == "" {
			if secret, err = password.Generate(); err != nil {
				return "", err
			}
			generated = secret
		}
		if err := s.handlers.CreateFirstAdmin(ctx, s.config.adminName, s.config.adminEmail, secret); err != nil {
			return "", err
		}
	}
	// The first administrator may have been made by a start that ended too early.
	if err := s.handlers.CountAdmin(identity.WithPrincipal(ctx, identity.Server()), commands.FirstAdminID); err != nil {
		return "", err
	}
	return generated, s.configureKey(ctx)
}

// configureKey tells the service account the configured key, and the operator when
// it is of no use. An account that somebody ended is not made anew: a key that was
// taken out of use, perhaps because it had leaked, would be back at the next start.
func (s *system) configureKey(ctx context.Context) error {
	verifier := ""
	if s.config.apiKey != "" {
		_, _, verifier, _ = s.tokens.ReadAPIKey(s.config.apiKey)
	}
	active, err := s.handlers.ConfigureAPIKey(ctx, verifier)
	if err == nil && s.config.apiKey != "" && !active {
		s.logger.WarnContext(ctx, "the configured API key logs nobody in, because its account is disabled or deleted: "+
			"enable the account, or if it was deleted leave --api-key out and let each program log in as a user of its own",
			slog.String("user_id", commands.ServiceUserID))
	}
	return err
}
