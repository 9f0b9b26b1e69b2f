package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// checkFree refuses free members that are named like a credential, or look like
// one. The settings are shown to every reader, and the log keeps them for ever.
func checkFree(field, name string, value any) error {
	switch value := value.(type) {
	case string:
		if value != "" && namesCredential(name) || credentialForm.MatchString(value) {
			return refused(field, "looks like a credential, which would be kept and shown in clear: a provider's belongs in its api_key or headers")
		}
	case object:
		for _, below := range sorted(value) {
			if err := checkFree(field+"."+below, below, value[below]); err != nil {
				return err
			}
		}
	case []any:
		for i, item := range value {
			if err := checkFree(fmt.Sprintf("%s.%d", field, i), name, item); err != nil {
				return err
			}
		}
	}
	return nil
}

// credentialNames are how names end, without what parts their words.
var credentialNames = []string{
	"apikey", "token", "secret", "secretkey", "secretaccesskey", "privatekey", "password", "passphrase", "passwd",
}

// markers are the tokens of a model's vocabulary, which requests may name.
var markers = []string{"bostoken", "clstoken", "endtoken", "eostoken", "masktoken", "padtoken", "septoken", "starttoken", "stoptoken", "unktoken"}

func namesCredential(name string) bool {
	name = strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(name))
	return name == "authorization" || !slices.Contains(markers, name) &&
		slices.ContainsFunc(credentialNames, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// credentialForm finds what well-known services mark as theirs: keys of OpenAI and
// those who do as it does, GitHub's and GitLab's tokens, Slack's, AWS's and
// Google's keys, and private keys in PEM.
var credentialForm = regexp.MustCompile(`(?:^|[^0-9A-Za-z_-])(?:` +
	`sk-[0-9A-Za-z_-]{16,}|gh[pousr]_[0-9A-Za-z]{16,}|github_pat_[0-9A-Za-z_]{16,}|glpat-[0-9A-Za-z_-]{16,}|` +
	`xox[abeoprs]-[0-9A-Za-z-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{16}(?:[^0-9A-Za-z]|$)|AIza[0-9A-Za-z_-]{35}` +
	`)|-----BEGIN [A-Z ]*PRIVATE KEY-----`)
