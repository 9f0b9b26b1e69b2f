package token

import (
	"crypto/sha256"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxSeen bounds the tokens whose verification is remembered: some 4 MB of them.
const maxSeen = 16_384

// seen remembers access tokens that were verified: a client shows the same one
// with every request, and reading it costs as much as the rest of a small
// request's way in. It holds digests, no credentials, and nothing that was
// refused: who guesses cannot fill it.
type seen struct {
	logins *lru.Cache[[sha256.Size]byte, expiring]
}

type expiring struct {
	login Login
	at    time.Time
}

func newSeen() (seen, error) {
	logins, err := lru.New[[sha256.Size]byte, expiring](maxSeen)
	if err != nil {
		return seen{}, fmt.Errorf("make the cache of verified tokens: %w", err)
	}
	return seen{logins}, nil
}

// get is the login of a token that was verified before and has not expired.
func (s seen) get(sum [sha256.Size]byte, now time.Time) (Login, bool) {
	e, ok := s.logins.Get(sum)
	if !ok {
		return Login{}, false
	}
	if !now.Before(e.at) {
		s.logins.Remove(sum)
		return Login{}, false
	}
	return e.login, true
}

func (s seen) add(sum [sha256.Size]byte, l Login, expires time.Time) {
	s.logins.Add(sum, expiring{l, expires})
}
