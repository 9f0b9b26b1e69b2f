package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// unflagged are the settings that are variables alone.
var unflagged = []struct{ env, usage string }{
	{"G4FAGENT_ADMIN_NAME", "the first administrator's name (default Admin)"},
	{"G4FAGENT_ADMIN_EMAIL", "and address (default admin@g4fagent.local)"},
	{"G4FAGENT_ADMIN_PASSWORD", "and password, at the first start (default generated)"},
	{"G4FAGENT_ACCESS_TOKEN_TTL", "seconds that an access token is good for, at least 60 (default 3600)"},
	{"G4FAGENT_REFRESH_TOKEN_TTL", "seconds that a refresh token is good for, at least 60 (default 86400)"},
	{"G4FAGENT_MASTER_KEY", "32 bytes, hex or base64, that wrap all other keys (default a file in the data folder)"},
	{"G4FAGENT_VERSION", "version that the server says it is"},
	{"G4FAGENT_BUILD", "build that the server says it is"},
}

// unflaggedHelp lists them for a help text.
func unflaggedHelp() string {
	var b strings.Builder
	for _, v := range unflagged {
		fmt.Fprintf(&b, "  %-27s %s\n", v.env, v.usage)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// nameVariables has the help of each flag name the variable that stands in for
// it. It may be called again when flags were added.
func nameVariables(f *pflag.FlagSet) {
	for _, s := range variables {
		name := " [$" + s.env + "]"
		if flag := f.Lookup(s.flag); flag != nil && !strings.HasSuffix(flag.Usage, name) {
			flag.Usage += name
		}
	}
}
