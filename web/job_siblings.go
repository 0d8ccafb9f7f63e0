package web

import "slices"

// maxSiblings is how many jobs of the pipeline are listed beside a job.
const maxSiblings = 40

// siblings are the jobs of a pipeline; keys lead to those before and after the one that is shown.
func siblings(blocks []blockView, self string) []blockView {
	blocks = withKeys(blocks, self)
	var out []blockView
	n := 0
	// The job's own block comes first, for long pipelines.
	for pass := range 2 {
		for _, b := range blocks {
			own := false
			for _, j := range b.Jobs {
				own = own || j.URL == self
			}
			if own != (pass == 0) || len(b.Jobs) == 0 || b.Jobs[0].URL == "" || n >= maxSiblings {
				continue
			}
			b.Jobs = b.Jobs[:min(len(b.Jobs), maxSiblings-n)]
			n += len(b.Jobs)
			out = append(out, b)
		}
	}
	return out
}

// withKeys gives the jobs that stand before and after one in a pipeline the keys that lead to them.
func withKeys(blocks []blockView, self string) []blockView {
	var all []*jobView
	at := -1
	blocks = slices.Clone(blocks)
	for i := range blocks {
		blocks[i].Jobs = slices.Clone(blocks[i].Jobs)
		for k := range blocks[i].Jobs {
			if j := &blocks[i].Jobs[k]; j.URL != "" {
				if j.URL == self {
					at = len(all)
				}
				all = append(all, j)
			}
		}
	}
	if at > 0 {
		all[at-1].Key = "["
	}
	if at >= 0 && at+1 < len(all) {
		all[at+1].Key = "]"
	}
	return blocks
}
