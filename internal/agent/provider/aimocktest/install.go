package aimocktest

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

var (
	//go:embed package.json
	packageJSON []byte
	//go:embed package-lock.json
	packageLock []byte
)

// installTimeout bounds npm, which runs once per machine and version.
const installTimeout = 5 * time.Minute

// script gives the path of aimock's command line program, installed at the first
// use on this machine.
var script = sync.OnceValues(func() (string, error) {
	caches, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the folder for aimock: %w", err)
	}
	sum := sha256.Sum256(packageLock)
	folder := filepath.Join(caches, "g4fagent", "aimock-"+hex.EncodeToString(sum[:8]))
	return install(folder)
})

// install fills folder, unless it is there. Test binaries of several packages
// come here at once: one installs, the others wait.
func install(folder string) (string, error) {
	program := filepath.Join(folder, "node_modules", "@copilotkit", "aimock", "dist", "cli.js")
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return "", fmt.Errorf("make the folder for aimock: %w", err)
	}
	unlock, err := lockedfile.MutexAt(folder + ".lock").Lock()
	if err != nil {
		return "", fmt.Errorf("lock the folder for aimock: %w", err)
	}
	defer unlock()
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	// Installed aside and renamed, so that what has the final name is whole even
	// when an installation is killed.
	aside, err := os.MkdirTemp(filepath.Dir(folder), "aimock-partial-")
	if err != nil {
		return "", fmt.Errorf("make a folder for npm: %w", err)
	}
	defer func() { _ = os.RemoveAll(aside) }()
	if err := npmCI(aside); err != nil {
		return "", err
	}
	if err := os.RemoveAll(folder); err != nil {
		return "", fmt.Errorf("replace aimock: %w", err)
	}
	if err := os.Rename(aside, folder); err != nil {
		return "", fmt.Errorf("put aimock in place: %w", err)
	}
	return program, nil
}

func npmCI(folder string) error {
	for name, data := range map[string][]byte{"package.json": packageJSON, "package-lock.json": packageLock} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return fmt.Errorf("write for npm: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = folder
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install @copilotkit/aimock with npm (these tests need node, npm and, once per machine, the npm registry): %w\n%s", err, out)
	}
	return nil
}
