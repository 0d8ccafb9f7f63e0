package store

// Progress is how far a new installation has come.
type Progress struct {
	Agent   bool // one has registered
	Project bool // there is one
	Passed  bool // one of the newest pipelines has
	People  int  // who may sign in
}

// Done tells whether nothing is left to do.
func (p Progress) Done() bool { return p.Agent && p.Project && p.Passed && p.People > 1 }

// Progress looks at what there is.
func (t *Tx) Progress() (p Progress, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT EXISTS (SELECT 1 FROM agent), EXISTS (SELECT 1 FROM project WHERE deleted_at = 0),
		EXISTS (SELECT 1 FROM (SELECT result FROM pipeline ORDER BY created_at DESC, id DESC LIMIT 500) AS newest WHERE result = 'passed'),
		(SELECT COUNT(*) FROM account WHERE password_hash <> '' AND disabled_at = 0)`).Scan(&p.Agent, &p.Project, &p.Passed, &p.People)
	return p, err
}
