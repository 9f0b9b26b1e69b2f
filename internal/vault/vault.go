// Package vault seals what must be erasable or secret before it enters the log,
// which is for ever. Every user and every project has a data key of its own;
// destroying the key erases all that was sealed under it, in the log and in
// every copy of the log.
//
// Data keys are wrapped by the installation key, which never leaves the process.
// Keyed hashes and signing keys derive from it too, so it is never changed: an
// installation that loses it loses its sealed fields.
package vault

import (
	"context"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// The scopes of data keys. Users and projects own theirs and can be erased; the
// one of secrets belongs to the installation and has no owner.
const (
	ScopeUser    = "user"
	ScopeProject = "project"
	ScopeSecret  = "secret"
)

// Options are what a vault works with. Store and one of MasterKey and KeyFile
// are required.
type Options struct {
	// Store keeps the wrapped data keys.
	Store Store
	// MasterKey is the installation key as text: see ParseMasterKey. It comes
	// before KeyFile.
	MasterKey string
	// KeyFile is the file of the installation key. It is made at the first
	// start, and must be readable by its owner alone.
	KeyFile string
	// Cached is how many data keys are held in memory: 10,000 when zero.
	Cached int
	// MaxAge is how long a data key is used without asking the store again. It
	// bounds how long this node can still open what another one erased. Zero is
	// for ever: right for a Folder, which one process owns.
	MaxAge time.Duration
	// Timeout bounds each question to the store: 5 s when zero.
	Timeout time.Duration
	// Now is the clock of MaxAge: time.Now when nil.
	Now func() time.Time
}

// Vault seals and opens. Its methods may be called from several goroutines.
type Vault struct {
	root    root
	store   Store
	cache   *lru.Cache[Name, *dataKey]
	maxAge  time.Duration
	timeout time.Duration
	now     func() time.Time
	hashes  sync.Pool

	seed    maphash.Seed
	stripes [64]sync.Mutex
}

// Unlock opens the vault. It makes an installation key when there has never been
// one, and refuses one that is missing, readable by others, or not the one that
// the stored data keys were wrapped with.
func Unlock(ctx context.Context, o Options) (*Vault, error) {
	return unlock(ctx, o, disk{})
}

func unlock(ctx context.Context, o Options, files filesystem) (*Vault, error) {
	if o.Store == nil {
		return nil, errors.New("unlock the vault: no store of keys is given")
	}
	master, err := installationKey(ctx, o, files)
	if err != nil {
		return nil, fmt.Errorf("unlock the vault: %w", err)
	}
	r, err := deriveRoot(master)
	if err != nil {
		return nil, fmt.Errorf("unlock the vault: %w", err)
	}
	if err := r.verify(ctx, o.Store); err != nil {
		return nil, fmt.Errorf("unlock the vault: %w", err)
	}
	return newVault(r, o)
}

func newVault(r root, o Options) (*Vault, error) {
	if o.Cached <= 0 {
		o.Cached = 10_000
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	cache, err := lru.New[Name, *dataKey](o.Cached)
	if err != nil {
		return nil, fmt.Errorf("unlock the vault: %w", err)
	}
	v := &Vault{
		root: r, store: o.Store, cache: cache,
		maxAge: o.MaxAge, timeout: o.Timeout, now: o.Now, seed: maphash.MakeSeed(),
	}
	v.hashes.New = r.newKeyedHash
	return v, nil
}

// verify compares the installation key with the one that the store's keys were
// wrapped with, and makes it that one when the store is new.
func (r root) verify(ctx context.Context, store Store) error {
	stored, err := store.Create(ctx, verifierName, r.verifier[:])
	if err != nil {
		return fmt.Errorf("look up the installation key's verifier: %w", err)
	}
	if subtle.ConstantTimeCompare(stored, r.verifier[:]) != 1 {
		return ErrWrongInstallationKey
	}
	return nil
}

// Seal encrypts plain under the owner's data key with AES-256-GCM and a random
// nonce. It makes the key when the owner has none, durable before Seal returns.
// The owner's id is 1 to 128 of a-z, 0-9, '_' and '-', and empty for
// ScopeSecret. The text is URL-safe and says how to open it:
//
//	v1.<scope>.<owner>.<key id>.<base64url of nonce, ciphertext, tag>
//
// After Erase it fails with ErrErased.
func (v *Vault) Seal(scope, owner string, plain []byte) (sealed string, err error) {
	name, err := nameOf(scope, owner)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	key, err := v.key(name, true)
	if err != nil {
		return "", fmt.Errorf("seal for %s: %w", name, err)
	}
	return key.seal(plain), nil
}

// Open decrypts what Seal returned. ErrErased says that the key was destroyed on
// purpose, ErrUnknownKey that it is missing, which is a loss of data, and
// ErrNotSealed that the text is not, or no longer, what Seal returned.
func (v *Vault) Open(sealed string) (plain []byte, err error) {
	t, err := parseSealed(sealed)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	key, err := v.key(t.name, false)
	if err != nil {
		return nil, fmt.Errorf("open what was sealed for %s: %w", t.name, err)
	}
	plain, err = key.open(t)
	if err != nil {
		return nil, fmt.Errorf("open what was sealed for %s: %w", t.name, err)
	}
	return plain, nil
}

// Erase destroys the owner's data key for good, durable before it returns: from
// then on Open and Seal answer ErrErased. It may be repeated, and after a failure
// must be. An owner who never had a key is marked all the same. Copies of the key
// in backups of the store last as long as those backups do, and are of no use
// without the installation key.
func (v *Vault) Erase(ctx context.Context, scope, owner string) error {
	name, err := nameOf(scope, owner)
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	if scope == ScopeSecret {
		return errors.New("erase: the key of secrets belongs to the installation and cannot be erased")
	}
	mu := v.stripe(name)
	mu.Lock()
	defer mu.Unlock()
	// Forgotten first: should the store fail halfway, it is asked what holds.
	v.cache.Remove(name)
	if err := v.store.Erase(ctx, name); err != nil {
		return fmt.Errorf("erase the key of %s: %w", name, err)
	}
	v.cache.Add(name, &dataKey{erased: true, read: v.now()})
	return nil
}

// key is the owner's data key, made when there is none and create is set.
func (v *Vault) key(name Name, create bool) (*dataKey, error) {
	if key := v.cached(name); key != nil {
		return key.alive()
	}
	// One question per owner at a time, and none across an erasure: a key read
	// before it must not enter the cache after it.
	mu := v.stripe(name)
	mu.Lock()
	defer mu.Unlock()
	if key := v.cached(name); key != nil {
		return key.alive()
	}
	ctx, cancel := context.WithTimeout(context.Background(), v.timeout)
	defer cancel()
	asked := v.now()
	key, err := v.fetch(ctx, name, create)
	if errors.Is(err, ErrErased) {
		key, err = &dataKey{erased: true}, nil
	}
	if err != nil {
		return nil, err
	}
	key.read = asked
	v.cache.Add(name, key)
	return key.alive()
}

func (v *Vault) cached(name Name) *dataKey {
	key, ok := v.cache.Get(name)
	if !ok || (v.maxAge > 0 && v.now().Sub(key.read) >= v.maxAge) {
		return nil
	}
	return key
}

func (v *Vault) fetch(ctx context.Context, name Name, create bool) (*dataKey, error) {
	wrapped, err := v.store.Load(ctx, name)
	if errors.Is(err, ErrUnknownKey) && create {
		if wrapped, err = v.root.newWrapped(name); err != nil {
			return nil, err
		}
		wrapped, err = v.store.Create(ctx, name, wrapped)
	}
	if err != nil {
		return nil, err
	}
	return v.root.unwrap(name, wrapped)
}

func (v *Vault) stripe(name Name) *sync.Mutex {
	return &v.stripes[maphash.Comparable(v.seed, name)%uint64(len(v.stripes))]
}

// dataKey is an owner's key, ready to use, or the memory of its erasure.
type dataKey struct {
	// header is all that comes before the ciphertext, and the additional data.
	header []byte
	aead   cipher.AEAD
	erased bool
	read   time.Time
}

func (k *dataKey) alive() (*dataKey, error) {
	if k.erased {
		return nil, ErrErased
	}
	return k, nil
}
