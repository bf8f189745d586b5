package discoverysvc

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// serviceView is what is shown of a service.
type serviceView struct{ instances []discovery.Instance }

// showServices shows and announces what a view changes. It is called by one
// goroutine at a time.
func (s *Server) showServices(v discovery.View) {
	now := map[string][]discovery.Instance{}
	for _, i := range v.Instances {
		now[i.Service] = append(now[i.Service], i)
	}
	old := *s.services.now.Load()
	for service, view := range old {
		if now[service] == nil {
			s.show(service, serviceView{}, false)
			continue
		}
		same := slices.EqualFunc(view.instances, now[service], func(a, b discovery.Instance) bool { return a.Equal(&b) })
		if !same {
			s.show(service, serviceView{now[service]}, true)
		}
	}
	for service, instances := range now {
		if _, known := old[service]; !known {
			s.show(service, serviceView{instances}, true)
		}
	}
	s.live.set(v)
}

func (s *Server) show(service string, v serviceView, there bool) {
	// Not the server's context: what is shown at the end is announced too.
	if err := s.services.set(context.Background(), s.opts.Base+servicePath(service), service, v, there); err != nil {
		s.opts.Logger.Error("discoverysvc: a change is shown and not announced", "service", service, "error", err)
	}
}

// stamped are the options of a document that a topic announces.
func (s *Server) stamped(topic string, groups ...string) *hal.WriteOptions {
	return &hal.WriteOptions{CacheControl: s.cache + ", " + resn.Directive(topic), CacheGroups: groups}
}

type servicesDocument = hal.Collection[serviceDocument]

type serviceDocument struct {
	Links struct {
		Self hal.Link `json:"self"`
		Item hal.Many `json:"item"`
		Up   hal.Link `json:"collection"`
	} `json:"_links"`
	Service string `json:"service"`
	// Instances counts all, Serving those that want requests, Versions the
	// instances of each.
	Instances int                          `json:"instances"`
	Serving   int                          `json:"serving"`
	Versions  map[string]int               `json:"versions"`
	Embedded  *hal.Items[instanceDocument] `json:"_embedded,omitempty"`
}

type instanceDocument struct {
	Links struct {
		Self    hal.Link `json:"self"`
		Service hal.Link `json:"service"`
	} `json:"_links"`
	discovery.Instance
}

func (s *Server) instanceDocument(i discovery.Instance) instanceDocument {
	doc := instanceDocument{Instance: i}
	doc.Links.Self = hal.To(s.href(servicePath(i.Service) + "/instances/" + url.PathEscape(i.ID)))
	doc.Links.Service = hal.To(s.href(servicePath(i.Service)))
	return doc
}

func (s *Server) serviceDocument(service string, v serviceView, embed bool) serviceDocument {
	doc := serviceDocument{Service: service, Instances: len(v.instances), Versions: map[string]int{}}
	doc.Links.Self = hal.To(s.href(servicePath(service)))
	doc.Links.Up = hal.To(s.href("/services"))
	if embed {
		doc.Embedded = &hal.Items[instanceDocument]{}
	}
	for _, i := range v.instances {
		item := s.instanceDocument(i)
		link := item.Links.Self
		link.Title = i.Version
		doc.Links.Item = append(doc.Links.Item, link)
		doc.Versions[i.Version]++
		if i.Health == discovery.Serving || i.Health == "" {
			doc.Serving++
		}
		if embed {
			doc.Embedded.Item = append(doc.Embedded.Item, item)
		}
	}
	return doc
}

func (s *Server) listServices(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.allow(r, Op{Action: Read}); err != nil {
		return err
	}
	var doc servicesDocument
	doc.Links.Self = hal.To(s.href("/services"))
	if hal.Embeds(r, "item") {
		doc.Embedded = &hal.Items[serviceDocument]{}
	}
	all := *s.services.now.Load()
	for _, service := range s.services.names() {
		link := hal.To(s.href(servicePath(service)))
		link.Name = service
		doc.Links.Item = append(doc.Links.Item, link)
		if doc.Embedded != nil {
			doc.Embedded.Item = append(doc.Embedded.Item, s.serviceDocument(service, all[service], false))
		}
	}
	doc.Total = len(doc.Links.Item)
	return hal.Write(w, r, http.StatusOK, doc, s.stamped("services", "services"))
}

func (s *Server) getService(w http.ResponseWriter, r *http.Request) error {
	service := r.PathValue("service")
	if _, err := s.allow(r, Op{Action: Read, Service: service}); err != nil {
		return err
	}
	v, ok := s.services.get(service)
	if !ok {
		return hal.NewProblem(http.StatusNotFound, "No instance of this service is known.")
	}
	return hal.Write(w, r, http.StatusOK, s.serviceDocument(service, v, hal.Embeds(r, "item")), s.stamped("services"))
}

func (s *Server) getInstance(w http.ResponseWriter, r *http.Request) error {
	service, id := r.PathValue("service"), r.PathValue("id")
	if _, err := s.allow(r, Op{Action: Read, Service: service, ID: id}); err != nil {
		return err
	}
	v, _ := s.services.get(service)
	for _, i := range v.instances {
		if i.ID == id {
			// The notice is about the service, so the instance is in its group.
			return hal.Write(w, r, http.StatusOK, s.instanceDocument(i), s.stamped("services", s.href(servicePath(service))))
		}
	}
	return hal.NewProblem(http.StatusNotFound, "There is no such instance.")
}
