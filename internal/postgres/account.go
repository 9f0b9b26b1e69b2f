package postgres

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

const defaultAccount = "postgres"

// account is whom the managed server runs as. Postgres refuses to be root.
type account struct {
	name     string
	uid, gid int
	// connectsAs are the accounts that may use the server's socket: its own and,
	// when it is another, this process's.
	connectsAs []string
	// switched is set when the server's account is not this process's.
	switched bool
}

// serverAccount is this process's account or, for root, the one called name.
func serverAccount(name string) (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		u, err := user.LookupId(strconv.Itoa(uid))
		if err != nil {
			return account{}, fmt.Errorf("the user id %d has no passwd entry, and Postgres does not run without one: %w", uid, err)
		}
		return account{name: u.Username, uid: uid, gid: os.Getegid(), connectsAs: []string{u.Username}}, nil
	}
	if name == "" {
		name = defaultAccount
	}
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, fmt.Errorf("as root, Postgres is run as %q: install the postgresql package, which makes that user, or name another: %w", name, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, fmt.Errorf("read the user id of %q: %w", name, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, fmt.Errorf("read the group id of %q: %w", name, err)
	}
	if uid == 0 || name == "nobody" {
		return account{}, fmt.Errorf("postgres is never run as %q: name an account of its own", name)
	}
	return account{name: name, uid: uid, gid: gid, connectsAs: []string{name, "root"}, switched: true}, nil
}

// attributes are those of a process of the account, in a process group of its
// own, so that a terminal's Ctrl-C does not reach it, and signalled when the
// thread that started it ends, where the system can do that.
func (a account) attributes(parentDeath syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.switched {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	signalOnParentDeath(attr, parentDeath)
	return attr
}

// reaches checks that the account may search dir and every folder above it, and
// names the one that is closed.
func (a account) reaches(dir string) error {
	if !a.switched {
		return nil
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("look at the folder: %w", err)
		}
		if !a.searches(info) {
			return fmt.Errorf("the user %s, as whom Postgres runs, may not enter %s (mode %s): choose another data folder, or chmod +x that one",
				a.name, at, info.Mode().Perm())
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func (a account) searches(info fs.FileInfo) bool {
	bit := fs.FileMode(0o001)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		switch {
		case int(stat.Uid) == a.uid:
			bit = 0o100
		case int(stat.Gid) == a.gid:
			bit = 0o010
		}
	}
	return info.Mode().Perm()&bit != 0
}

// owns checks that dir belongs to the account.
func (a account) owns(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the cluster: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != a.uid {
		return fmt.Errorf("%s belongs to user id %d, but Postgres is to run as %s (%d): start as its owner, or chown -R %s it",
			dir, stat.Uid, a.name, a.uid, a.name)
	}
	return nil
}
