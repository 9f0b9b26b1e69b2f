package token

import (
	"fmt"
	"time"

	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
)

const (
	// ticketTTL is short, since a ticket stands in a URL, and long enough for an
	// EventSource to reconnect with the same URL.
	ticketTTL     = 5 * time.Minute
	maxTicketPath = 512
)

var errTicketPath = fault.New(fault.Invalid, "invalid_request", "path is empty or longer than 512 bytes.").With("field", "path")

// NewTicket is a new ticket, which lets who in at one path and nowhere else, as
// often as need be, and how long it is valid. For a principal without a login it
// is of no use.
func (t *Tokens) NewTicket(who identity.Principal, path string) (ticket string, ttl time.Duration, err error) {
	if path == "" || len(path) > maxTicketPath {
		return "", 0, errTicketPath
	}
	login := Login{UserID: who.UserID, Family: who.LoginFamily}
	if who.CredentialID != who.LoginFamily {
		login.KeyID = who.CredentialID
	}
	c := t.claims(login, ticketTTL)
	c.Path = path
	if ticket, err = t.tickets.sign(c); err != nil {
		return "", 0, fmt.Errorf("sign a ticket: %w", err)
	}
	return ticket, ticketTTL, nil
}

// ReadTicket reads a ticket shown at a path. It reports false for everything
// else: another path's ticket, one that expired, another kind of token.
func (t *Tokens) ReadTicket(ticket, path string) (Login, bool) {
	c, ok := t.tickets.read(ticket)
	if !ok || c.Family == "" || path == "" || c.Path != path {
		return Login{}, false
	}
	return c.login(), true
}
