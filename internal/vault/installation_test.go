package vault_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/internal/vault"
)

func TestParseMasterKey(t *testing.T) {
	t.Parallel()
	raw := []byte("\xfb\xff\xfe345678901234567890123456789\xff\xfe")
	good := map[string]string{
		"hex":                hex.EncodeToString(raw),
		"upper-case hex":     strings.ToUpper(hex.EncodeToString(raw)),
		"base64":             base64.StdEncoding.EncodeToString(raw),
		"unpadded base64":    base64.RawStdEncoding.EncodeToString(raw),
		"base64url":          base64.URLEncoding.EncodeToString(raw),
		"unpadded base64url": base64.RawURLEncoding.EncodeToString(raw),
		"a line of a file":   " " + hex.EncodeToString(raw) + "\r\n",
	}
	for name, text := range good {
		t.Run(name+" is read", func(t *testing.T) {
			t.Parallel()
			if got, err := vault.ParseMasterKey(text); err != nil || string(got[:]) != string(raw) {
				t.Errorf("got %x, %v", got, err)
			}
		})
	}
	bad := map[string]string{
		"nothing":          "",
		"a password":       "correct horse battery staple now",
		"too little hex":   hex.EncodeToString(raw[:31]),
		"too much hex":     hex.EncodeToString(raw) + "00",
		"too little":       base64.StdEncoding.EncodeToString(raw[:16]),
		"zeros":            strings.Repeat("0", 64),
		"one byte, always": base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 32))),
	}
	for name, text := range bad {
		t.Run(name+" is refused with advice, and not shown", func(t *testing.T) {
			t.Parallel()
			_, err := vault.ParseMasterKey(text)
			if err == nil || !strings.Contains(err.Error(), "openssl rand -hex 32") {
				t.Fatalf("the answer is %v", err)
			}
			if text != "" && strings.Contains(err.Error(), text) {
				t.Errorf("the answer shows the key: %v", err)
			}
		})
	}
}

func TestInstallationKey(t *testing.T) {
	t.Parallel()

	t.Run("is made once, for its owner's eyes", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		v, folder := open(t, dir)
		file := filepath.Join(dir, "installation.key")
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o600 {
			t.Fatalf("the file has mode %v, %v", info.Mode(), err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before := v.HMACHex("x")
		v, _ = reopen(t, dir, folder)
		if v.HMACHex("x") != before {
			t.Error("the key changed with a restart")
		}
		// The file's text can be given instead of the file.
		elsewhere := unlock(t, vault.Options{Store: openFolder(t, t.TempDir()), MasterKey: string(text)})
		if elsewhere.HMACHex("x") != before {
			t.Error("the file does not hold the key")
		}
	})

	t.Run("that others may read is refused", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o610, 0o602} {
			dir := t.TempDir()
			_, folder := open(t, dir)
			file := filepath.Join(dir, "installation.key")
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
			_, err := vault.Unlock(t.Context(), vault.Options{Store: folder, KeyFile: file})
			if err == nil || !strings.Contains(err.Error(), "chmod 600 "+file) {
				t.Errorf("with mode %s: %v", mode, err)
			}
		}
	})

	t.Run("that is not a key is refused, and not replaced", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "installation.key")
		if err := os.WriteFile(file, []byte("lost+found"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := vault.Unlock(t.Context(), vault.Options{Store: openFolder(t, t.TempDir()), KeyFile: file})
		if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "lost+found") {
			t.Errorf("the answer is %v", err)
		}
		if text, _ := os.ReadFile(file); string(text) != "lost+found" {
			t.Errorf("the file now holds %q", text)
		}
	})

	t.Run("that is missing is not made anew for keys that are there", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		_, folder := open(t, dir)
		file := filepath.Join(dir, "installation.key")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		_, err := vault.Unlock(t.Context(), vault.Options{Store: folder, KeyFile: file})
		if !errors.Is(err, vault.ErrNoInstallationKey) || !strings.Contains(err.Error(), file) {
			t.Errorf("the answer is %v, want ErrNoInstallationKey", err)
		}
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file was made: %v", err)
		}
	})

	t.Run("that is another one is refused before anything is sealed", func(t *testing.T) {
		t.Parallel()
		store := openFolder(t, t.TempDir())
		unlock(t, vault.Options{Store: store, MasterKey: key(1)})
		if _, err := vault.Unlock(t.Context(), vault.Options{Store: store, MasterKey: key(2)}); !errors.Is(err, vault.ErrWrongInstallationKey) {
			t.Errorf("the answer is %v, want ErrWrongInstallationKey", err)
		}
		unlock(t, vault.Options{Store: store, MasterKey: key(1)})
	})

	t.Run("has to come from somewhere", func(t *testing.T) {
		t.Parallel()
		if _, err := vault.Unlock(t.Context(), vault.Options{Store: openFolder(t, t.TempDir())}); err == nil {
			t.Error("the vault opens without a key")
		}
		if _, err := vault.Unlock(t.Context(), vault.Options{MasterKey: key(1)}); err == nil {
			t.Error("the vault opens without a store")
		}
	})
}
