package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/httpx"
	"github.com/g4fagent/g4fagent/internal/postgres"
)

// config is everything that can be set. Each setting is a flag, and an
// environment variable that the flag wins over.
type config struct {
	host, basePath         string
	port                   int
	dataDir                string
	eventStoreURL          string
	databaseURL            string
	postgresUser           string
	tlsCert, tlsKey        string
	origins, proxies       []string
	logFormat, logLevel    string
	adminName, adminEmail  string
	adminPassword          string
	apiKey, masterKey      string
	accessTTL, refreshTTL  time.Duration
	authDisabled           bool
	runWorkers             int
	runTimeout             time.Duration
	runMaxOutput           int64
	maxStreams, maxPerUser int
	pprof                  string
	minFree                storage.Floor
}

const (
	minTTL         = time.Minute
	defaultAccess  = time.Hour
	defaultRefresh = 24 * time.Hour
)

// setting binds one flag to its environment variable.
type setting struct {
	flag, env string
}

// variables lists the settings that have one.
var variables = []setting{
	{"host", "G4FAGENT_HOST"},
	{"port", "G4FAGENT_PORT"},
	{"base-path", "G4FAGENT_BASE_PATH"},
	{"data-dir", "G4FAGENT_DATA_DIR"},
	{"min-free-space", "G4FAGENT_MIN_FREE_SPACE"},
	{"eventstore-url", "EVENTSTORE_URL"},
	{"database-url", "DATABASE_URL"},
	{"postgres-user", "G4FAGENT_POSTGRES_USER"},
	{"tls-cert", "G4FAGENT_TLS_CERT"},
	{"tls-key", "G4FAGENT_TLS_KEY"},
	{"origin", "G4FAGENT_ORIGINS"},
	{"trusted-proxy", "G4FAGENT_TRUSTED_PROXIES"},
	{"log-format", "G4FAGENT_LOG_FORMAT"},
	{"log-level", "G4FAGENT_LOG_LEVEL"},
	{"api-key", "G4FAGENT_API_KEY"},
	{"auth-disabled", "G4FAGENT_AUTH_DISABLED"},
	{"run-workers", "G4FAGENT_RUN_WORKERS"},
	{"run-timeout", "G4FAGENT_RUN_TIMEOUT"},
	{"run-max-output-tokens", "G4FAGENT_RUN_MAX_OUTPUT_TOKENS"},
	{"max-streams", "G4FAGENT_MAX_STREAMS"},
	{"max-streams-per-user", "G4FAGENT_MAX_STREAMS_PER_USER"},
}

func (c *config) dataFlags(f *pflag.FlagSet) {
	f.StringVar(&c.dataDir, "data-dir", defaultDataDir(), "folder of everything that is kept")
	f.Var(spaceFlag{&c.minFree}, "min-free-space", spaceUsage)
	f.StringVar(&c.eventStoreURL, "eventstore-url", "", "EventStoreDB or KurrentDB to use instead of the embedded one (esdb://…)")
	f.StringVar(&c.databaseURL, "database-url", "", "Postgres to use instead of the managed one (postgres://…)")
	f.StringVar(&c.postgresUser, "postgres-user", "", "account that runs the managed Postgres when started as root (default postgres)")
	f.StringVar(&c.logFormat, "log-format", "text", "text or json")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	nameVariables(f)
}

func (c *config) serveFlags(f *pflag.FlagSet) {
	c.dataFlags(f)
	f.StringVar(&c.host, "host", "127.0.0.1", "address to listen on")
	f.IntVar(&c.port, "port", 8000, "port to listen on, 1 to 65535; 0 takes a free one")
	f.StringVar(&c.basePath, "base-path", "/api/v1", "path of the API")
	f.StringVar(&c.tlsCert, "tls-cert", "", "certificate file; with --tls-key, serve HTTPS")
	f.StringVar(&c.tlsKey, "tls-key", "", "key file of the certificate")
	f.StringSliceVar(&c.origins, "origin", nil, "web origins that may use the API (default any)")
	f.StringSliceVar(&c.proxies, "trusted-proxy", nil, "networks (CIDR) whose X-Forwarded-For is believed")
	f.StringVar(&c.apiKey, "api-key", "", "key that logs in as the service account")
	f.BoolVar(&c.authDisabled, "auth-disabled", false, "everybody acts as the first administrator; on loopback only")
	f.IntVar(&c.runWorkers, "run-workers", 8, "agent runs at a time")
	c.runFlags(f)
	f.IntVar(&c.maxStreams, "max-streams", 4096, "event streams open at a time")
	f.StringVar(&c.pprof, "pprof", "", "loopback address (host:port) that serves the program's profiles to whoever asks (default none)")
	f.IntVar(&c.maxPerUser, "max-streams-per-user", 1024, "event streams open at a time for one user")
	nameVariables(f)
}

// defaultDataDir is where an account may write and its Postgres may read.
func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/g4fagent"
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "share", "g4fagent")
	}
	return "g4fagent-data"
}

// load takes the environment where no flag was given, and checks everything.
func (c *config) load(f *pflag.FlagSet, getenv func(string) string) error {
	for _, s := range variables {
		flag := f.Lookup(s.flag)
		value := getenv(s.env)
		if flag == nil || flag.Changed || value == "" {
			continue
		}
		if err := flag.Value.Set(value); err != nil {
			return usageError{fmt.Errorf("%s=%q: %w", s.env, value, err)}
		}
	}
	c.adminName = or(getenv("G4FAGENT_ADMIN_NAME"), "Admin")
	c.adminEmail = or(getenv("G4FAGENT_ADMIN_EMAIL"), "admin@g4fagent.local")
	c.adminPassword = getenv("G4FAGENT_ADMIN_PASSWORD")
	c.masterKey = getenv("G4FAGENT_MASTER_KEY")
	build = or(getenv("G4FAGENT_BUILD"), build)
	version = or(getenv("G4FAGENT_VERSION"), version)
	var err error
	if c.accessTTL, err = ttl(getenv, "G4FAGENT_ACCESS_TOKEN_TTL", defaultAccess); err != nil {
		return err
	}
	if c.refreshTTL, err = ttl(getenv, "G4FAGENT_REFRESH_TOKEN_TTL", defaultRefresh); err != nil {
		return err
	}
	if err := c.checkRuns(f); err != nil {
		return err
	}
	return c.check()
}

func ttl(getenv func(string) string, name string, otherwise time.Duration) (time.Duration, error) {
	value := getenv(name)
	if value == "" {
		return otherwise, nil
	}
	seconds, err := strconv.Atoi(value)
	if err != nil {
		return 0, usageError{fmt.Errorf("%s=%q is not a number of seconds", name, value)}
	}
	return max(time.Duration(seconds)*time.Second, minTTL), nil
}

func (c *config) check() error {
	switch {
	case c.port < 0 || c.port > 65535:
		return usageError{fmt.Errorf("--port %d is not between 0 and 65535", c.port)}
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return usageError{errors.New("--tls-cert and --tls-key belong together")}
	case c.authDisabled && !loopback(c.host):
		return usageError{fmt.Errorf("--auth-disabled listens on loopback only, not on %s", c.host)}
	case c.pprof != "" && !loopbackAddress(c.pprof):
		return usageError{fmt.Errorf("--pprof listens on loopback only, not on %s", c.pprof)}
	case c.runWorkers < 0 || c.host != "" && c.runWorkers == 0:
		return usageError{errors.New("--run-workers must be at least 1")}
	}
	if err := c.checkPlaces(); err != nil {
		return err
	}
	if _, err := c.trustedProxies(); err != nil {
		return err
	}
	_, err := c.logger()
	return err
}

// checkPlaces checks what says where the API, the log and the database are.
func (c *config) checkPlaces() error {
	for _, place := range []struct {
		flag, value string
		check       func(string) error
	}{
		{"base-path", c.basePath, httpx.CheckBasePath},
		{"eventstore-url", c.eventStoreURL, eventlog.CheckURL},
		{"database-url", c.databaseURL, postgres.CheckURL},
	} {
		if place.value == "" {
			continue
		}
		if err := place.check(place.value); err != nil {
			return usageError{fmt.Errorf("--%s: %w", place.flag, err)}
		}
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// allowedOrigins are the web origins that may use the API; nil is any. Where
// everybody is the administrator, a page of any origin must not be.
func (c *config) allowedOrigins() []string {
	if c.authDisabled && c.origins == nil {
		return []string{}
	}
	return c.origins
}

func (c *config) trustedProxies() ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(c.proxies))
	for _, p := range c.proxies {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(p))
		if err != nil {
			return nil, usageError{fmt.Errorf("--trusted-proxy %q is no network such as 10.0.0.0/8 or 2001:db8::/32", p)}
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

func (c *config) level() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.logLevel)); err != nil {
		return l, usageError{fmt.Errorf("--log-level %q is not debug, info, warn or error", c.logLevel)}
	}
	return l, nil
}

func (c *config) logger() (*slog.Logger, error) {
	level, err := c.level()
	if err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: level}
	switch c.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	default:
		return nil, usageError{fmt.Errorf("--log-format %q is neither text nor json", c.logFormat)}
	}
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
