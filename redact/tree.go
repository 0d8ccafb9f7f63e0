package redact

// tree is an Aho-Corasick automaton, its nodes in arrays: most of them have one child.
type tree struct {
	root    [256]int32 // child of the root for each byte, 0 without one
	label   []byte     // of the edge that leads to a node
	child   []int32    // first child
	sibling []int32
	fail    []int32 // node of the longest proper suffix
	depth   []int32
	ends    []int32 // length of the longest pattern that ends here, 0 without one
}

type builder struct{ tree }

func newBuilder() *builder {
	b := &builder{}
	b.node(0, 0)
	return b
}

func (b *builder) node(label byte, depth int32) int32 {
	b.label = append(b.label, label)
	b.child = append(b.child, 0)
	b.sibling = append(b.sibling, 0)
	b.fail = append(b.fail, 0)
	b.depth = append(b.depth, depth)
	b.ends = append(b.ends, 0)
	return int32(len(b.label) - 1)
}

// step returns the child of a node for a byte, 0 without one.
func (t *tree) step(at int32, c byte) int32 {
	if at == 0 {
		return t.root[c]
	}
	n := t.child[at]
	for n != 0 && t.label[n] != c {
		n = t.sibling[n]
	}
	return n
}

func (b *builder) add(p []byte) {
	at := int32(0)
	for _, c := range p {
		n := b.step(at, c)
		if n == 0 {
			n = b.node(c, b.depth[at]+1)
			if at == 0 {
				b.root[c] = n
			}
			b.sibling[n], b.child[at] = b.child[at], n
		}
		at = n
	}
	b.ends[at] = b.depth[at]
}

// build sets the fail links, breadth first.
func (b *builder) build() tree {
	queue := make([]int32, 0, len(b.label))
	for n := b.child[0]; n != 0; n = b.sibling[n] {
		queue = append(queue, n)
	}
	for i := 0; i < len(queue); i++ {
		at := queue[i]
		if b.ends[at] == 0 {
			b.ends[at] = b.ends[b.fail[at]]
		}
		for n := b.child[at]; n != 0; n = b.sibling[n] {
			queue = append(queue, n)
			b.fail[n] = b.next(b.fail[at], b.label[n])
		}
	}
	return b.tree
}

// next returns the node after a byte.
func (t *tree) next(at int32, c byte) int32 {
	for {
		if n := t.step(at, c); n != 0 || at == 0 {
			return n
		}
		at = t.fail[at]
	}
}
