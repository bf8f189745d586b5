package gateway

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// tokenInfo is a token in answers.
type tokenInfo struct {
	Name  string `json:"name"`
	Token string `json:"token"`
}

// listTokens lists who has a token. The tokens themselves aren't known any more:
// in their place stand IDs, which removeToken takes as well.
func (g *Gateway) listTokens(w http.ResponseWriter, r *http.Request, _ client) error {
	tokens, err := g.store.Tokens(r.Context())
	if err != nil {
		return err
	}
	if len(tokens) == 0 {
		return noContent(w)
	}
	list := make([]tokenInfo, len(tokens))
	for i, t := range tokens {
		list[i] = tokenInfo{t.Name, t.ID}
	}
	return writeJSON(w, http.StatusOK, list)
}

// addToken makes a token, or takes one that somebody chose. It is shown this
// once.
func (g *Gateway) addToken(w http.ResponseWriter, r *http.Request, _ client) error {
	var a struct {
		Name  string  `json:"name"`
		Token *string `json:"token"`
	}
	if err := readJSON(r, &a); err != nil {
		return err
	}
	if a.Name == "" || len(a.Name) > 256 {
		return bad("a name of 1 to 256 bytes is needed")
	}
	token := newToken(a.Name)
	if a.Token != nil {
		token = *a.Token
	}
	if len(token) < 8 || len(token) > 256 || strings.ContainsAny(token, ":\r\n") {
		return bad("a token has 8 to 256 bytes and no colon")
	}
	hash := g.secrets.hash(token)
	if hash == g.root {
		return bad("this token is taken")
	}
	err := g.store.AddToken(r.Context(), Token{ID: newID(), Name: a.Name, Hash: hash, Created: time.Now().UTC().Truncate(time.Millisecond)})
	if errors.Is(err, fs.ErrExist) {
		return bad("this token is taken")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, tokenInfo{a.Name, token})
}

// removeToken takes a token, or its ID. Its owner is unsubscribed, and the
// topics that it published are anybody's.
func (g *Gateway) removeToken(w http.ResponseWriter, r *http.Request, _ client) error {
	id := r.PathValue("token")
	t, err := g.store.TokenByHash(r.Context(), g.secrets.hash(id))
	switch {
	case err == nil:
		id = t.ID
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := g.store.RemoveToken(r.Context(), id); err != nil {
		return err
	}
	if err := g.refresh(r.Context(), id); err != nil {
		return err
	}
	return noContent(w)
}
