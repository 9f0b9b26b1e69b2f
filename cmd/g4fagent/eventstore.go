package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/g4fagent/g4fagent/internal/esnode"
)

// eventStoreConfig is what `g4fagent eventstore` is told.
type eventStoreConfig struct {
	config

	listen, username, passwordFile, metrics string
	maxAppend                               int
}

func newEventStore() *cobra.Command {
	c := &eventStoreConfig{}
	cmd := &cobra.Command{
		Use: "eventstore", Args: cobra.NoArgs,
		Short: "Run the embedded event store alone",
		Long: `Run the embedded event store alone: one node that speaks EventStoreDB's protocol.
Servers use it with --eventstore-url esdb://user:password@host:port?tls=false.

An address beyond loopback needs credentials and TLS.

Its log, or the one in a server's data folder, is backed up while it runs, put in
place again, and proved by the commands below.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&c.listen, "listen", "127.0.0.1:2113", "host:port or unix:/path")
	f.StringVar(&c.dataDir, "data-dir", defaultDataDir(), "folder that holds the log, in its subfolder log")
	f.StringVar(&c.username, "username", "", "name that every call must come with")
	f.StringVar(&c.passwordFile, "password-file", "", "file of the password that belongs to it")
	f.StringVar(&c.tlsCert, "tls-cert", "", "certificate file; with --tls-key, serve TLS")
	f.StringVar(&c.tlsKey, "tls-key", "", "key file of the certificate")
	f.Var(spaceFlag{&c.minFree}, "min-free-space", spaceUsage)
	f.IntVar(&c.maxAppend, "max-append-size", 0, "bytes that one append may have, at most 16777216 (default 1048576)")
	f.StringVar(&c.metrics, "metrics", "", "loopback address (host:port) that serves Prometheus metrics at /metrics (default none)")
	f.StringVar(&c.logFormat, "log-format", "text", "text or json")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	cmd.AddCommand(newBackup(), newRestore(), newVerify(), newCopy())
	return cmd
}

func (c *eventStoreConfig) run(cmd *cobra.Command) error {
	logger, err := c.logger()
	if err != nil {
		return err
	}
	o := esnode.Options{Dir: filepath.Join(c.dataDir, "log"), Listen: c.listen, Username: c.username, Floor: c.minFree, MaxAppendBytes: c.maxAppend, Logger: logger}
	if c.passwordFile != "" {
		secret, err := os.ReadFile(c.passwordFile)
		if err != nil {
			return fmt.Errorf("read the password: %w", err)
		}
		o.Password = strings.TrimRight(string(secret), "\r\n")
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		return usageError{errors.New("--tls-cert and --tls-key belong together")}
	}
	if c.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(c.tlsCert, c.tlsKey)
		if err != nil {
			return fmt.Errorf("load the certificate: %w", err)
		}
		o.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	if c.metrics != "" {
		end, registry, err := c.serveMetrics(cmd.Context(), logger)
		if err != nil {
			return err
		}
		defer end()
		o.Registerer = registry
	}
	if err := os.MkdirAll(c.dataDir, 0o711); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	node, err := esnode.Start(cmd.Context(), o)
	if err != nil {
		return stopFirst(err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "The event store is ready.\n\n  clients      %s\n  data folder  %s\n\n", node.ConnectionString(), c.dataDir)
	select {
	case <-node.Done():
		return node.Err()
	case <-cmd.Context().Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), closeBound)
	defer cancel()
	return node.Close(ctx)
}

// serveMetrics serves what is registered, until end is called.
func (c *eventStoreConfig) serveMetrics(ctx context.Context, logger *slog.Logger) (end func(), registry *prometheus.Registry, err error) {
	if !loopbackAddress(c.metrics) {
		return nil, nil, usageError{fmt.Errorf("--metrics listens on loopback only, not on %s", c.metrics)}
	}
	registry = prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	end, err = serveAside(ctx, "metrics", c.metrics, mux, logger)
	return end, registry, err
}
