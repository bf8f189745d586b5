package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/store"
	"github.com/goswale/swale/hal"
)

// problem returns the problem document for an error of the store.
func (h *Handler) problem(ctx context.Context, err error) error {
	var p *hal.Problem
	var invalid *store.InvalidError
	var conflicts *configsvc.CompileError
	var conflict *driver.ConflictError
	switch {
	case errors.As(err, &p):
		return err
	case errors.As(err, &invalid):
		p = hal.NewProblem(http.StatusUnprocessableEntity, "The write is refused.")
		p.Extensions = map[string]any{"problems": invalid.Problems}
		for _, f := range invalid.Problems {
			p.Errors = append(p.Errors, hal.FieldError{Pointer: "#" + f.Path, Detail: f.String()})
		}
	case errors.As(err, &conflicts):
		p = hal.NewProblem(http.StatusConflict, conflicts.Error())
		p.Title = "Layers conflict"
		p.Extensions = map[string]any{"conflicts": conflicts.Conflicts}
	case errors.As(err, &conflict):
		p = hal.NewProblem(http.StatusPreconditionFailed, conflict.Error()+".")
		p.Extensions = map[string]any{"key": conflict.Key, "version": conflict.Revision}
	case errors.Is(err, store.ErrRollout):
		p = hal.NewProblem(http.StatusConflict, err.Error())
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, store.ErrRevision):
		p = hal.NewProblem(http.StatusNotFound, strings.TrimPrefix(err.Error(), "store: "))
	case errors.Is(err, configsvc.ErrKey), errors.Is(err, configsvc.ErrSyntax):
		p = hal.NewProblem(http.StatusBadRequest, err.Error())
	default:
		h.opts.Logger.ErrorContext(ctx, "config: a request failed", "error", err)
		if ctx.Err() == nil {
			p = hal.NewProblem(http.StatusServiceUnavailable, "The store doesn't answer as it should; try again later.")
			p.Err = err
			return p
		}
		return err
	}
	p.Err = err
	return p
}
