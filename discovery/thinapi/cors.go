package thinapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// allows reports whether pages of the origin may call.
func (c *CORS) allows(origin string) bool {
	return origin != "" && (slices.Contains(c.Origins, origin) || slices.Contains(c.Origins, "*"))
}

// preflight answers a browser that asks whether a page may send a request; it
// reports false if that isn't what the request is.
func (c *CORS) preflight(w http.ResponseWriter, r *http.Request) bool {
	wanted := r.Header.Get("Access-Control-Request-Method")
	origin := r.Header.Get("Origin")
	if r.Method != http.MethodOptions || origin == "" || wanted == "" {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	if c.allows(origin) && slices.Contains(c.Methods, wanted) {
		c.allow(h, origin)
		h.Set("Access-Control-Allow-Methods", strings.Join(c.Methods, ", "))
		if headers := r.Header.Get("Access-Control-Request-Headers"); c.Headers != nil {
			h.Set("Access-Control-Allow-Headers", strings.Join(c.Headers, ", "))
		} else if headers != "" {
			h.Set("Access-Control-Allow-Headers", headers)
		}
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(c.MaxAge.Seconds())))
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// mark says in an answer's header whether the page may read it. What a backend
// says about it is removed: there is one policy, and it is here.
func (c *CORS) mark(h http.Header, origin string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	if !slices.Contains(h["Vary"], "Origin") {
		h.Add("Vary", "Origin")
	}
	if !c.allows(origin) {
		return
	}
	c.allow(h, origin)
	if c.Expose != nil {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.Expose, ", "))
	}
}

func (c *CORS) allow(h http.Header, origin string) {
	if !c.Credentials && slices.Contains(c.Origins, "*") {
		origin = "*"
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}
