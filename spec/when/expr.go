package when

// Expr is a node of a condition: *Logic, *Compare, *Keyword, *Literal, *List, *Map or *Call.
type Expr interface{ Pos() int }

type (
	// Logic joins two expressions. Chains without parentheses lean to the left whatever the operators are.
	Logic struct {
		Op          string // "and" or "or"
		Left, Right Expr
		Offset      int // of the operator
	}
	// Compare is one of the four comparisons: "=", "!=", "=~", "!~".
	Compare struct {
		Op          string
		Left, Right Expr
		Offset      int // of the operator
	}
	// Keyword is a value of the build, in lower case: branch, tag, pull_request, result, result_reason.
	Keyword struct {
		Name   string
		Offset int
	}
	// Literal holds a string, bool, int64 or float64.
	Literal struct {
		Value  any
		Offset int
	}
	// List is [a, b].
	List struct {
		Items  []Expr
		Offset int
	}
	// Map is {key: value}; a repeated key is kept, the later one counts.
	Map struct {
		Entries []Entry
		Offset  int
	}
	// Entry is one pair of a Map.
	Entry struct {
		Key    string
		Value  Expr
		Offset int
	}
	// Call is a function with its parameters.
	Call struct {
		Name   string
		Params []Expr
		Offset int
	}
	// Group is an expression in parentheses, kept because it ends a chain of "and" and "or".
	Group struct {
		Inner  Expr
		Offset int
	}
)

// Pos returns the offset in bytes.
func (e *Logic) Pos() int   { return e.Offset }
func (e *Compare) Pos() int { return e.Offset }
func (e *Keyword) Pos() int { return e.Offset }
func (e *Literal) Pos() int { return e.Offset }
func (e *List) Pos() int    { return e.Offset }
func (e *Map) Pos() int     { return e.Offset }
func (e *Call) Pos() int    { return e.Offset }
func (e *Group) Pos() int   { return e.Offset }

// Values returns the parameters of a call as plain values: string, bool, int64, float64, []any and map[string]any.
func (e *Call) Values() []any {
	out := make([]any, len(e.Params))
	for i, p := range e.Params {
		out[i] = constant(p)
	}
	return out
}
