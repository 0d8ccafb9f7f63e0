package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Page sizes of the lists with a Link header. The official command line reads a single page of some of them, so it gets
// the largest unless it asks for less.
const (
	defaultPage = 30
	maxPage     = 500
	maxPages    = 10000
)

// page is one page of a list with a Link header.
type page struct {
	limit, offset int
}

// pageOf reads page and page_size; what is not a number above 0 means the default.
func pageOf(r *http.Request) page {
	q := r.URL.Query()
	n, _ := strconv.Atoi(q.Get("page"))
	size, _ := strconv.Atoi(q.Get("page_size"))
	switch {
	case size > 0:
		size = min(size, maxPage)
	case official(r):
		size = maxPage
	default:
		size = defaultPage
	}
	return page{limit: size, offset: (min(max(n, 1), maxPages) - 1) * size}
}

// link sets the header by which clients find the other pages.
func (a *API) link(w http.ResponseWriter, r *http.Request, p page, more bool) {
	n := p.offset/p.limit + 1
	to := func(n int, rel string) string {
		q := r.URL.Query()
		q.Set("page", strconv.Itoa(n))
		q.Set("page_size", strconv.Itoa(p.limit))
		return "<" + a.PublicURL(r) + r.URL.Path + "?" + q.Encode() + `>; rel="` + rel + `"`
	}
	h := to(1, "first")
	if n > 1 {
		h += ", " + to(n-1, "prev")
	}
	if more {
		h = to(n+1, "next") + ", " + h
	}
	w.Header().Set("Link", h)
}

func requestURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// period is a range of times that lists can be narrowed to: both ends belong to it, a zero one is open.
type period struct{ after, before time.Time }

// periodOf reads NAME_after and NAME_before in Unix seconds.
func periodOf(r *http.Request, name string) (period, error) {
	var p period
	for key, t := range map[string]*time.Time{name + "_after": &p.after, name + "_before": &p.before} {
		v := r.URL.Query().Get(key)
		if v == "" {
			continue
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return p, signalbox.Errorf(signalbox.CodeInvalid, "%s must be a number of seconds since 1970, not %.40q", key, v)
		}
		*t = time.Unix(n, 0)
	}
	return p, nil
}

func (p period) has(t time.Time) bool {
	t = t.Truncate(time.Second)
	return (p.after.IsZero() || !t.Before(p.after)) && (p.before.IsZero() || !t.After(p.before))
}

// open tells whether something older than t can still be in the period.
func (p period) open(t time.Time) bool { return !t.Truncate(time.Second).Before(p.after) }
