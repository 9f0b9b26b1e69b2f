package identity

import "slices"

// Permission is what an operation asks of its caller: the document's
// x-permission.
type Permission string

// The permissions. Public asks nothing; Self asks for any identified principal.
const (
	Public        Permission = "public"
	Self          Permission = "self"
	Read          Permission = "read"
	Write         Permission = "write"
	RegisterTools Permission = "tools.register"
	WriteSettings Permission = "settings.write"
	ReadUsers     Permission = "users.read"
	WriteUsers    Permission = "users.write"
	ReadAudit     Permission = "audit.read"
)

// Permissions are all there are, in a fixed order.
var Permissions = []Permission{Public, Self, Read, Write, RegisterTools, WriteSettings, ReadUsers, WriteUsers, ReadAudit}

// roles is the one table from roles to permissions. A role that is not in it
// grants nothing.
var roles = map[string][]Permission{
	"admin":     {Read, Write, RegisterTools, WriteSettings, ReadUsers, WriteUsers, ReadAudit},
	"auditor":   {Read, ReadUsers, ReadAudit},
	"developer": {Read, Write},
	"viewer":    {Read},
}

// May reports whether p may do what needs permission. Deny is the default.
func (p Principal) May(permission Permission) bool {
	switch permission {
	case Public:
		return true
	case Self:
		return !p.Anonymous()
	default:
		return !p.Anonymous() && slices.ContainsFunc(p.Roles, func(role string) bool {
			return slices.Contains(roles[role], permission)
		})
	}
}
