package web

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	// pageSize is how many workflows, branches or projects a page lists.
	pageSize = 30
	// lookThrough bounds what one page reads to find those that a filter lets through; the next page goes on from there.
	lookThrough = 2000
	chunkSize   = 200
)

// workflowPage is one page of a list of workflows.
type workflowPage struct {
	Rows         []Row
	Newer, Older string  // addresses of the next pages, "" at the end
	First        string  // the address of the list's beginning
	Begins       bool    // this page is the beginning
	Looked       int     // after so many the search was broken off
	LookedTo     *Moment // the time of the last of them
}

// workflowQuery is what a page lists. A workflow that any of the filters finds is found; each has an index.
type workflowQuery struct {
	filters []store.WorkflowFilter
	keep    func([]*signalbox.Workflow) ([]*signalbox.Workflow, error) // nil keeps all
}

// foundWorkflows is what looking for workflows has given.
type foundWorkflows struct {
	list   []*signalbox.Workflow // newest first
	more   bool                  // there may be others in the direction of the search
	last   store.WorkflowPlace   // how far it went, when there may be
	looked int                   // not 0 when it was broken off
}

// find looks for up to n workflows from a place on: towards the older ones, or the newer ones when before is set.
func (q workflowQuery) find(tx *store.Tx, after, before store.WorkflowPlace, n int) (foundWorkflows, error) {
	var out foundWorkflows
	looked, size := 0, n+1
	backwards := before.ID != ""
	for {
		list, err := q.read(tx, after, before, size)
		if err != nil {
			return out, err
		}
		looked += len(list)
		ended := len(list) < size
		if backwards {
			slices.Reverse(list)
		}
		if len(list) > 0 {
			after, before = placeOf(list[len(list)-1]), store.WorkflowPlace{}
			if backwards {
				after, before = before, after
			}
		}
		if q.keep != nil {
			if list, err = q.keep(list); err != nil {
				return out, err
			}
		}
		out.list = append(out.list, list...)
		switch {
		case len(out.list) > n:
			out.list, out.more = out.list[:n], true
			out.last = placeOf(out.list[n-1])
		case ended:
		case looked >= lookThrough:
			out.more, out.looked, out.last = true, looked, cmp.Or(after, before)
		default:
			size = chunkSize
			continue
		}
		if backwards {
			slices.Reverse(out.list)
		}
		return out, nil
	}
}

// read reads the next workflows of all filters, newest first.
func (q workflowQuery) read(tx *store.Tx, after, before store.WorkflowPlace, n int) ([]*signalbox.Workflow, error) {
	var all []*signalbox.Workflow
	for _, f := range q.filters {
		f.After, f.Before, f.Limit = after, before, n
		list, err := tx.Workflows(f)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	if len(q.filters) < 2 {
		return all, nil
	}
	slices.SortFunc(all, func(x, y *signalbox.Workflow) int {
		return cmp.Or(y.CreatedAt.Compare(x.CreatedAt), cmp.Compare(y.ID, x.ID))
	})
	all = slices.CompactFunc(all, func(x, y *signalbox.Workflow) bool { return x.ID == y.ID })
	if before.ID != "" { // those next to the place are the last
		return all[max(0, len(all)-n):], nil
	}
	return all[:min(len(all), n)], nil
}

// page reads the page that an address asks for. names maps project ids to names, nil when the project need not be said.
func (w *Web) page(tx *store.Tx, q workflowQuery, at *url.URL, names map[string]string) (workflowPage, error) {
	values := at.Query()
	p := workflowPage{First: addressOf(at, "", "")}
	after, err := parsePlace(values.Get("older"))
	if err != nil {
		return p, err
	}
	before, err := parsePlace(values.Get("newer"))
	if err != nil {
		return p, err
	}
	if after.ID != "" {
		before = store.WorkflowPlace{}
	}
	found, err := q.find(tx, after, before, pageSize)
	if err != nil {
		return p, err
	}
	if before.ID != "" && !found.more && len(found.list) < pageSize { // the beginning is a whole page
		before = store.WorkflowPlace{}
		if found, err = q.find(tx, after, before, pageSize); err != nil {
			return p, err
		}
	}
	if p.Rows, err = w.rows(tx, found.list, names); err != nil {
		return p, err
	}
	first, last := after, before // where a page without rows goes on
	if len(found.list) > 0 {
		first, last = placeOf(found.list[0]), placeOf(found.list[len(found.list)-1])
	}
	switch {
	case before.ID != "":
		if len(found.list) > 0 {
			p.Older = addressOf(at, "older", placeText(last))
		}
		if found.more {
			p.Newer = addressOf(at, "newer", placeText(found.last))
		}
	default:
		p.Begins = after.ID == ""
		if !p.Begins {
			p.Newer = addressOf(at, "newer", placeText(first))
		}
		if found.more {
			p.Older = addressOf(at, "older", placeText(found.last))
		}
	}
	p.Looked = found.looked
	if found.looked > 0 {
		p.LookedTo = moment(found.last.CreatedAt, tx.Now)
	}
	return p, nil
}

func placeOf(wf *signalbox.Workflow) store.WorkflowPlace {
	return store.WorkflowPlace{CreatedAt: wf.CreatedAt, ID: wf.ID}
}

// placeText writes a place for an address: 1764000000000.ID.
func placeText(p store.WorkflowPlace) string {
	return strconv.FormatInt(p.CreatedAt.UnixMilli(), 10) + "." + p.ID
}

func parsePlace(text string) (store.WorkflowPlace, error) {
	if text == "" {
		return store.WorkflowPlace{}, nil
	}
	at, id, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil || n < 0 || !signalbox.IsID(id) {
		return store.WorkflowPlace{}, signalbox.Errorf(signalbox.CodeInvalid, "The address of this page of the list is not right. Open the list from its beginning.")
	}
	return store.WorkflowPlace{CreatedAt: time.UnixMilli(n), ID: id}, nil
}

// placeNames are the parameters that say where a list goes on.
var placeNames = []string{"older", "newer", "after", "before"}

// addressOf is the address of another page of the same list: with another place, or of its beginning.
func addressOf(at *url.URL, name, place string) string {
	q := at.Query()
	for _, n := range placeNames {
		q.Del(n)
	}
	for n, v := range q {
		if len(v) == 0 || v[0] == "" {
			q.Del(n)
		}
	}
	if name != "" {
		q.Set(name, place)
	}
	if len(q) == 0 {
		return at.Path
	}
	return at.Path + "?" + q.Encode()
}
