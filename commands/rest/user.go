package rest

import (
	"context"
	"strings"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
)

// CreateUser answers POST /admin/users.
func (c Commands) CreateUser(ctx context.Context, r api.CreateUserRequestObject) (api.CreateUserResponseObject, error) {
	receipt, err := c.Handlers.CreateUser(ctx, commands.CreateUser{
		Name: strings.TrimSpace(r.Body.Name), Email: r.Body.Email, Password: or(r.Body.Password, ""), Roles: r.Body.Roles,
	})
	if err != nil {
		return nil, err
	}
	c.created(ctx, receipt)
	e := wrote[eventschema.EmailReserved](receipt).User
	return api.CreateUser200JSONResponse{User: api.User{
		ID: e.UserID, Name: e.Name, Email: e.Email, Roles: e.Roles, CreatedAt: api.Time(receipt.At),
	}}, nil
}

// UpdateUser answers PATCH /admin/users/{user_id}.
func (c Commands) UpdateUser(ctx context.Context, r api.UpdateUserRequestObject) (api.UpdateUserResponseObject, error) {
	seen, err := match(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	receipt, err := c.Handlers.UpdateUser(ctx, commands.UpdateUser{
		UserID: r.UserID, Name: trimmed(r.Body.Name), Roles: given(r.Body.Roles), Password: r.Body.Password, Disabled: r.Body.Disabled, Match: seen,
	})
	if err != nil {
		return nil, err
	}
	c.changed(ctx, receipt)
	return done, nil
}

// DeleteUser answers DELETE /admin/users/{user_id}.
func (c Commands) DeleteUser(ctx context.Context, r api.DeleteUserRequestObject) (api.DeleteUserResponseObject, error) {
	receipt, err := c.Handlers.DeleteUser(ctx, commands.DeleteUser{UserID: r.UserID})
	if err != nil {
		return nil, err
	}
	c.appended(ctx, receipt)
	return done, nil
}
