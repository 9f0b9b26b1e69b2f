package readapi

import (
	"context"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/projections/users"
)

// GetMe answers GET /me.
func (q Reads) GetMe(ctx context.Context, _ api.GetMeRequestObject) (api.GetMeResponseObject, error) {
	u, found, err := users.ByID(ctx, q.DB, identity.PrincipalOf(ctx).UserID)
	if err != nil || !found {
		return nil, orNotFound(err, errUserNotFound)
	}
	setETag(ctx, u.Revision)
	return api.GetMe200JSONResponse{User: user(u)}, nil
}

// ListUsers answers GET /admin/users.
func (q Reads) ListUsers(ctx context.Context, r api.ListUsersRequestObject) (api.ListUsersResponseObject, error) {
	n := limit(r.Params.Limit)
	rows, err := users.List(ctx, q.DB, users.Filter{Text: text(r.Params.Q), Disabled: (*bool)(r.Params.Disabled)}, cursor(r.Params.Cursor), n+1)
	if err != nil {
		return nil, err
	}
	items, next := page(rows, n, user, func(u users.User) int64 { return u.Position })
	return api.ListUsers200JSONResponse{Items: items, NextCursor: next}, nil
}

func user(u users.User) api.User {
	return api.User{ID: u.ID, Name: u.Name, Email: u.Email, Roles: u.Roles, Disabled: u.Disabled, CreatedAt: api.Time(u.CreatedAt)}
}
