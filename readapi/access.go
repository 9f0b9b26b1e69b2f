package readapi

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/httpx"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/token"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/access"
)

const (
	// loginsKnown bounds the logins in the cache.
	loginsKnown = 50_000
	// maxSilence is how long the log's live end may be out of sight before nobody
	// is let in: a login that ended meanwhile would go unnoticed.
	maxSilence = 5 * time.Second
	// accessWithin is how long a request waits for the read model to show the
	// last change of anybody's access.
	accessWithin = 2 * time.Second
)

var errBlind = fault.New(fault.Unavailable, "unavailable", "Identities cannot be checked at the moment.").After(time.Second)

// Tokens reads tokens; it reports false for any that it did not sign, or that
// has expired.
type Tokens interface {
	ReadAccess(text string) (token.Login, bool)
	ReadTicket(ticket, path string) (token.Login, bool)
}

// Feed is the log's live end.
type Feed interface {
	Silent() time.Duration
	Position() eventlog.Position
}

// Progress waits for read models.
type Progress interface {
	// Await returns once the read models have reached the position, or reports
	// that they lag behind.
	Await(ctx context.Context, at eventlog.Position, readModels ...string) (lagging bool)
}

// Access says on whose behalf a request runs. It checks each login against the
// read model, through a cache that the log's live end invalidates: what ends a
// login counts for the very next request. It is safe for concurrent use.
type Access struct {
	db       projections.Querier
	tokens   Tokens
	feed     Feed
	progress Progress
	logins   *otter.Cache[string, access.Login]

	mu sync.Mutex
	// changed is the position of the last event that changed anybody's access: a
	// read of the read model must not be older.
	changed eventlog.Position
}

// NewAccess makes an Access. Its Watch must be a watcher of the log's feed.
func NewAccess(db projections.Querier, tokens Tokens, feed Feed, progress Progress) (*Access, error) {
	logins, err := otter.New(&otter.Options[string, access.Login]{MaximumSize: loginsKnown})
	if err != nil {
		return nil, fmt.Errorf("make the cache of logins: %w", err)
	}
	return &Access{db: db, tokens: tokens, feed: feed, progress: progress, logins: logins}, nil
}

// Watch takes one record of the log's live end.
func (a *Access) Watch(r eventlog.Record) {
	family, ofLogin := strings.CutPrefix(r.Stream, "login-")
	ofUser := strings.HasPrefix(r.Stream, "user-")
	switch r.Stored.Name {
	case eventschema.LoginSucceeded{}.EventName(), eventschema.TokenRefreshed{}.EventName(), eventschema.UserCreated{}.EventName():
		return // they end nothing
	}
	if !ofLogin && !ofUser {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed = r.Position
	if ofLogin {
		a.logins.Invalidate(family)
	} else {
		a.logins.InvalidateAll()
	}
}

// Authenticate is who shows the credentials.
func (a *Access) Authenticate(ctx context.Context, c httpx.Credentials) (identity.Principal, error) {
	var login token.Login
	var ok bool
	switch {
	case c.Bearer != "":
		login, ok = a.tokens.ReadAccess(c.Bearer)
	case c.Ticket != "":
		login, ok = a.tokens.ReadTicket(c.Ticket, c.Path)
	}
	if !ok {
		return identity.Principal{}, httpx.ErrUnauthorized
	}
	return a.principal(ctx, login)
}

// Recheck reports whether the principal in ctx may still act.
func (a *Access) Recheck(ctx context.Context) error {
	p := identity.PrincipalOf(ctx)
	if p.LoginFamily == "" {
		return nil // not by a login
	}
	now, err := a.principal(ctx, token.Login{UserID: p.UserID, Family: p.LoginFamily})
	if err == nil && !now.May(identity.Read) {
		err = httpx.ErrUnauthorized
	}
	return err
}

func (a *Access) principal(ctx context.Context, login token.Login) (identity.Principal, error) {
	if a.feed.Silent() > maxSilence {
		return identity.Principal{}, errBlind
	}
	inForce, ok := a.logins.GetIfPresent(login.Family)
	if !ok {
		var err error
		if inForce, ok, err = a.load(ctx, login.Family); err != nil {
			return identity.Principal{}, err
		}
	}
	if !ok || inForce.UserID != login.UserID {
		return identity.Principal{}, httpx.ErrUnauthorized
	}
	p := identity.Principal{
		UserID: inForce.UserID, Kind: identity.User, Roles: inForce.Roles, LoginFamily: login.Family, CredentialID: login.Family,
	}
	if inForce.KeyID != "" {
		p.CredentialID = inForce.KeyID
	}
	return p, nil
}

// load reads a login that the cache does not know. What it read is kept only if
// nobody's access changed meanwhile.
func (a *Access) load(ctx context.Context, family string) (access.Login, bool, error) {
	before := a.lastChange()
	waitCtx, cancel := context.WithTimeout(ctx, accessWithin)
	defer cancel()
	if a.progress.Await(waitCtx, a.reached(before), access.Name) {
		return access.Login{}, false, errBlind
	}
	login, found, err := access.ByFamily(ctx, a.db, family)
	if err != nil || !found {
		return access.Login{}, false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == before {
		a.logins.Set(family, login)
	}
	return login, true, nil
}

// reached is where the read model has to be. Before the first change that this
// node has seen, that is where its live end is: after a start the read model may
// have a backlog.
func (a *Access) reached(change eventlog.Position) eventlog.Position {
	if change.IsZero() {
		return a.feed.Position()
	}
	return change
}

func (a *Access) lastChange() eventlog.Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}
