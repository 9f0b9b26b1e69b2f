package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// errMasterKey never shows the key, however wrong it is.
var errMasterKey = errors.New("the installation key must be 32 random bytes as 64 hex digits or as base64: " +
	"make one with `openssl rand -hex 32` and keep a copy of it apart from the backups")

// ParseMasterKey reads an installation key: 32 bytes as 64 hex digits or as
// base64 in either alphabet, padded or not. White space around it is ignored.
func ParseMasterKey(text string) ([32]byte, error) {
	text = strings.TrimSpace(text)
	decoders := []func(string) ([]byte, error){
		hex.DecodeString,
		base64.StdEncoding.Strict().DecodeString, base64.RawStdEncoding.Strict().DecodeString,
		base64.URLEncoding.Strict().DecodeString, base64.RawURLEncoding.Strict().DecodeString,
	}
	for _, decode := range decoders {
		key, err := decode(text)
		if err != nil || len(key) != 32 {
			continue
		}
		if bytes.Count(key, key[:1]) == len(key) {
			return [32]byte{}, errMasterKey // nobody draws one byte over and over by chance
		}
		return [32]byte(key), nil
	}
	return [32]byte{}, errMasterKey
}

// installationKey is the key that was given, that of the file, or a new one.
func installationKey(ctx context.Context, o Options, files filesystem) ([32]byte, error) {
	if o.MasterKey != "" {
		return ParseMasterKey(o.MasterKey)
	}
	if o.KeyFile == "" {
		return [32]byte{}, errors.New("neither the installation key nor a file for it is given")
	}
	key, err := readKeyFile(o.KeyFile, files)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	switch _, err := o.Store.Load(ctx, verifierName); {
	case err == nil:
		return [32]byte{}, fmt.Errorf("%s: %w", o.KeyFile, ErrNoInstallationKey)
	case !errors.Is(err, ErrUnknownKey):
		return [32]byte{}, fmt.Errorf("look up the installation key's verifier: %w", err)
	}
	if err := writeKeyFile(o.KeyFile, files); err != nil {
		return [32]byte{}, fmt.Errorf("make an installation key: %w", err)
	}
	return readKeyFile(o.KeyFile, files)
}

func readKeyFile(name string, files filesystem) ([32]byte, error) {
	mode, err := files.mode(name)
	if err != nil {
		return [32]byte{}, fmt.Errorf("look at the installation key: %w", err)
	}
	if mode.Perm()&0o077 != 0 {
		return [32]byte{}, fmt.Errorf("others may read the installation key (mode %s): run chmod 600 %s, and consider who has read it", mode.Perm(), name)
	}
	text, err := files.read(name)
	if err != nil {
		return [32]byte{}, fmt.Errorf("read the installation key: %w", err)
	}
	key, err := ParseMasterKey(string(text))
	if err != nil {
		return [32]byte{}, fmt.Errorf("%s: %w", name, err)
	}
	// Whoever made the file may have been killed before its entry was durable.
	dir := filepath.Dir(name)
	for _, entries := range []string{dir, filepath.Dir(dir)} {
		if err := files.sync(entries); err != nil {
			return [32]byte{}, fmt.Errorf("make the installation key durable: %w", err)
		}
	}
	return key, nil
}

// writeKeyFile makes the file whole or not at all, and never replaces one.
// Reading it makes it durable.
func writeKeyFile(name string, files filesystem) error {
	if err := files.mkdir(filepath.Dir(name)); err != nil {
		return err
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return fmt.Errorf("draw random bytes: %w", err)
	}
	temp := name + ".new"
	if err := files.remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what an interrupted start left: %w", err)
	}
	if err := files.create(temp, []byte(hex.EncodeToString(key[:])+"\n")); err != nil {
		return err
	}
	if err := files.link(temp, name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return files.remove(temp)
}
