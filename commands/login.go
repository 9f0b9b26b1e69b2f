package commands

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/domain/login"
	"github.com/g4fagent/g4fagent/domain/reservation"
	"github.com/g4fagent/g4fagent/domain/user"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// ErrInvalidCredentials refuses a login, whatever was wrong with it.
var ErrInvalidCredentials = fault.New(fault.Unauthorized, "invalid_credentials", "The e-mail address, password or API key is wrong.")

// Passwords verifies and makes verifiers, a bounded number at a time.
type Passwords interface {
	Hash(ctx context.Context, password string) (verifier string, err error)
	Verify(ctx context.Context, verifier, password string) (bool, error)
	// VerifyNobody costs what Verify costs: an unknown account must not answer
	// faster than a known one.
	VerifyNobody(ctx context.Context, password string) error
}

// PasswordRules refuse a password that is too weak to be chosen; hints are what
// an attacker would try first, such as the account's own name.
type PasswordRules interface {
	Check(password string, hints ...string) error
}

// Tokens makes and reads what proves a login.
type Tokens interface {
	Access(userID, family, keyID string) (token string, ttl time.Duration, err error)
	NewRefresh(family string) (token, verifier string, err error)
	ReadRefresh(token string) (family, verifier string, ok bool)
	ReadAPIKey(key string) (userID, keyID, verifier string, ok bool)
}

// Throttle slows guessing down. Each admitted attempt counts as failed until it
// has succeeded.
type Throttle interface {
	// Admit returns an error with RetryAfter when account or address has failed
	// too often.
	Admit(account, address string) error
	Succeeded(account, address string)
}

// Login is what a successful login or refresh hands out.
type Login struct {
	Receipt
	AccessToken  string
	RefreshToken string
	ExpiresIn    time.Duration
}

func loginStream(family string) string { return "login-" + family }

func userStream(id string) string { return "user-" + id }

func emailStream(hash string) string { return "reservation-email-" + hash }

// EmailHash stands for an e-mail address in the log: its case and the spaces
// around it do not matter.
func (h *Handlers) EmailHash(email string) string {
	return h.hash("email", []byte(strings.ToLower(strings.TrimSpace(email))))
}

// LogInWithPassword starts a login family for the account that has the address.
// It never tells whether there is one, or whether it is disabled.
func (h *Handlers) LogInWithPassword(ctx context.Context, email, password string) (Login, error) {
	hash := h.EmailHash(email)
	address := identity.RequestOf(ctx).IP
	if err := h.throttle.Admit(hash, address); err != nil {
		h.refusals.LoginFailed(ctx, "password", hash, codeOf(err))
		return Login{}, err
	}
	userID, account, err := h.accountByEmail(ctx, hash)
	if err != nil {
		return Login{}, err
	}
	ok, err := h.proves(ctx, account, password)
	if err != nil {
		return Login{}, err
	}
	if !ok || !account.Active() { // nobody learns which it was, or that there is an account
		return Login{}, h.refuseLogin(ctx, "password", hash)
	}
	h.throttle.Succeeded(hash, address)
	return h.logIn(ctx, userID, "password", "")
}

// refuseLogin is the one answer to whoever could not prove who they are.
func (h *Handlers) refuseLogin(ctx context.Context, method, emailHash string) error {
	h.refusals.LoginFailed(ctx, method, emailHash, ErrInvalidCredentials.Code)
	return ErrInvalidCredentials
}

// proves compares the password, at the same cost whether the account can have
// one or not.
func (h *Handlers) proves(ctx context.Context, account user.State, password string) (bool, error) {
	if !account.Exists || account.Deleted || account.Verifier == "" {
		return false, h.passwords.VerifyNobody(ctx, password)
	}
	return h.passwords.Verify(ctx, account.Verifier, password)
}

// accountByEmail follows the reservation of the address to its holder. Where there
// is none it reads the stream of nobody: that takes as long.
func (h *Handlers) accountByEmail(ctx context.Context, hash string) (string, user.State, error) {
	held, err := current[reservation.State, eventschema.ReservationEvent](ctx, h, emailStream(hash))
	if err != nil {
		return "", user.State{}, err
	}
	account, err := current[user.State, eventschema.UserEvent](ctx, h, userStream(held.State.Holder))
	return held.State.Holder, account.State, err
}

// LogInWithAPIKey starts a login family for the account that the key acts as.
func (h *Handlers) LogInWithAPIKey(ctx context.Context, key string) (Login, error) {
	address := identity.RequestOf(ctx).IP
	userID, keyID, verifier, ok := h.tokens.ReadAPIKey(key)
	if err := h.throttle.Admit("key "+keyID, address); err != nil {
		h.refusals.LoginFailed(ctx, "api_key", "", codeOf(err))
		return Login{}, err
	}
	var account folded[user.State]
	if ok {
		var err error
		if account, err = current[user.State, eventschema.UserEvent](ctx, h, userStream(userID)); err != nil {
			return Login{}, err
		}
		ok = account.State.Keys[keyID] == verifier && verifier != ""
	}
	if !ok || !account.State.Active() {
		return Login{}, h.refuseLogin(ctx, "api_key", "")
	}
	h.throttle.Succeeded("key "+keyID, address)
	return h.logIn(ctx, userID, "api_key", keyID)
}

// logIn starts a login family for a user whose identity is proved.
func (h *Handlers) logIn(ctx context.Context, userID, method, keyID string) (Login, error) {
	family, err := newFamily()
	if err != nil {
		return Login{}, err
	}
	refresh, verifier, err := h.tokens.NewRefresh(family)
	if err != nil {
		return Login{}, err
	}
	ctx = identity.WithPrincipal(ctx, identity.Principal{UserID: userID, Kind: identity.User, CredentialID: keyID})
	t := target{command: "Login", stream: loginStream(family), fresh: true}
	receipt, err := decide(withoutKey(ctx), h, t, func(s login.State) ([]eventschema.LoginEvent, error) {
		return s.Start(eventschema.LoginSucceeded{
			Family: family, UserID: userID, Method: method, CredentialID: keyID,
			RefreshVerifier: verifier, RefreshExpires: h.now().UTC().Add(h.limits.RefreshTTL),
		})
	})
	if err != nil {
		return Login{}, err
	}
	return h.handOut(receipt, userID, family, keyID, refresh)
}

func (h *Handlers) handOut(receipt Receipt, userID, family, keyID, refresh string) (Login, error) {
	access, ttl, err := h.tokens.Access(userID, family, keyID)
	if err != nil {
		return Login{}, fmt.Errorf("sign the access token: %w", err)
	}
	return Login{Receipt: receipt, AccessToken: access, RefreshToken: refresh, ExpiresIn: ttl}, nil
}

func newFamily() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make a login family: %w", err)
	}
	return hex.EncodeToString(id[:]), nil
}

// RefreshLogin rotates a refresh token. A token shown again after it was spent
// ends its family: somebody else may have it.
func (h *Handlers) RefreshLogin(ctx context.Context, token string) (Login, error) {
	family, shown, ok := h.tokens.ReadRefresh(token)
	if !ok {
		return Login{}, h.refuseRefresh(ctx, login.ErrInvalidRefreshToken)
	}
	past, err := known[login.State, eventschema.LoginEvent](ctx, h, loginStream(family))
	if err != nil {
		return Login{}, err
	}
	userID, keyID := past.State.UserID, past.State.KeyID
	ctx = identity.WithPrincipal(ctx, identity.Principal{UserID: userID, Kind: identity.User, CredentialID: keyID, LoginFamily: family})
	if ok, err := h.inForce(ctx, family, past.State); err != nil {
		return Login{}, err
	} else if !ok {
		return Login{}, h.refuseRefresh(ctx, login.ErrInvalidRefreshToken)
	}
	refresh, verifier, err := h.tokens.NewRefresh(family)
	if err != nil {
		return Login{}, err
	}
	t := target{command: "RefreshLogin", stream: loginStream(family)}
	receipt, err := decide(withoutKey(ctx), h, t, func(s login.State) ([]eventschema.LoginEvent, error) {
		now := h.now().UTC()
		return s.Refresh(shown, eventschema.TokenRefreshed{
			Family: family, RefreshVerifier: verifier, RefreshExpires: now.Add(h.limits.RefreshTTL), At: now,
		})
	})
	if err != nil {
		return Login{}, h.refuseRefresh(ctx, err)
	}
	if _, reused := first[eventschema.TokenReuseDetected](receipt); reused {
		return Login{Receipt: receipt}, login.ErrInvalidRefreshToken
	}
	return h.handOut(receipt, userID, family, keyID, refresh)
}

// refuseRefresh records err if it is a refusal, and returns it.
func (h *Handlers) refuseRefresh(ctx context.Context, err error) error {
	if fault.KindOf(err) == fault.Unauthorized {
		h.refusals.LoginFailed(ctx, "refresh", "", codeOf(err))
	}
	return err
}

// Logout ends the caller's own login, and that of a refresh token which is the
// caller's as well; another user's token is left alone.
func (h *Handlers) Logout(ctx context.Context, family, refreshToken string) (Receipt, error) {
	receipt, err := h.endLogin(ctx, family)
	if err != nil {
		return Receipt{}, err
	}
	other, _, ok := h.tokens.ReadRefresh(refreshToken)
	if !ok || other == family {
		return receipt, nil
	}
	past, err := known[login.State, eventschema.LoginEvent](ctx, h, loginStream(other))
	if err != nil || past.State.UserID != identity.PrincipalOf(ctx).UserID {
		return receipt, err
	}
	second, err := h.endLogin(ctx, other)
	if err != nil {
		return Receipt{}, err
	}
	return receipt.then(second), nil
}

func (h *Handlers) endLogin(ctx context.Context, family string) (Receipt, error) {
	t := target{command: "Logout", stream: loginStream(family)}
	return decide(withoutKey(ctx), h, t, func(s login.State) ([]eventschema.LoginEvent, error) { return s.LogOut(family) })
}

// userPage is how many events of a user are looked at at a time: few have more.
const userPage = 32

// inForce reports whether nothing that happened to the user since the login began
// has ended it. The log's order tells: what ends all logins of a user stands in
// the user's stream alone.
func (h *Handlers) inForce(ctx context.Context, family string, s login.State) (bool, error) {
	account, err := current[user.State, eventschema.UserEvent](ctx, h, userStream(s.UserID))
	if err != nil || !account.State.Active() || s.KeyID != "" && account.State.Keys[s.KeyID] == "" {
		return false, err
	}
	began, err := h.log.Read(ctx, loginStream(family), 0, 1)
	if err != nil || len(began) == 0 {
		return false, err
	}
	for from := account.Revision; from >= 0; {
		page, err := h.log.ReadBack(ctx, userStream(s.UserID), from, userPage)
		if err != nil {
			return false, err
		}
		for _, r := range page {
			if !began[0].Position.Less(r.Position) {
				return true, nil
			}
			if ends, err := h.endsLogin(r, s.KeyID); err != nil || ends {
				return false, err
			}
		}
		from -= int64(len(page))
		if len(page) < userPage {
			break
		}
	}
	return true, nil
}

// endsLogin reports whether an event of a user ends the user's logins, of which
// those by an API key end with the key alone when it is revoked.
func (h *Handlers) endsLogin(r eventlog.Record, keyID string) (bool, error) {
	ev, err := eventschema.All.Decode(r.Stored, h.vault)
	if err != nil {
		return false, fmt.Errorf("read %s at %d: %w", r.Stream, r.Revision, err)
	}
	switch e := ev.(type) {
	case eventschema.UserPasswordChanged, eventschema.UserDisabled, eventschema.UserDeleted:
		return true, nil
	case eventschema.UserAPIKeyRevoked:
		return keyID != "" && e.KeyID == keyID, nil
	default:
		return false, nil
	}
}

func codeOf(err error) string {
	if f, ok := asFault(err); ok {
		return f.Code
	}
	return "internal_error"
}
