package store

import "github.com/signalbox-ci/signalbox"

// mostStars bounds how many projects one user has at hand: their page reads the workflows of each.
const mostStars = 100

// Star notes that a user wants to have a project at hand, and Unstar that they do not any more; twice is fine.
func (t *Tx) Star(userID, projectID string) error {
	starred, err := t.Starred(userID)
	if err != nil {
		return err
	}
	if !starred[projectID] && len(starred) >= mostStars {
		return signalbox.Errorf(signalbox.CodeInvalid, "At most %d projects can have your star; take it off one first", mostStars)
	}
	_, err = t.exec(`INSERT INTO star (account_id, project_id, at) VALUES ($1, $2, $3) ON CONFLICT (account_id, project_id) DO NOTHING`, userID, projectID, ms(t.Now))
	return err
}

// Unstar takes a user's star off a project.
func (t *Tx) Unstar(userID, projectID string) error {
	_, err := t.exec(`DELETE FROM star WHERE account_id = $1 AND project_id = $2`, userID, projectID)
	return err
}

// Starred returns the projects that a user wants to have at hand, but for deleted ones.
func (t *Tx) Starred(userID string) (map[string]bool, error) {
	ids, err := t.strings(`SELECT s.project_id FROM star s JOIN project p ON p.id = s.project_id WHERE s.account_id = $1 AND p.deleted_at = 0`, userID)
	if err != nil {
		return nil, err
	}
	out := make(map[string]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out, nil
}
