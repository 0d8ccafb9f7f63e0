package signalbox

import "time"

// ArtifactScope is what a pushed file belongs to, in the word that its path begins with.
type ArtifactScope string

const (
	ArtifactsOfJob      ArtifactScope = "jobs"
	ArtifactsOfWorkflow ArtifactScope = "workflows"
	ArtifactsOfProject  ArtifactScope = "projects"
)

// Artifact is a file that a job has pushed. Its content is a blob, which artifacts with the same content share.
type Artifact struct {
	ID        string
	ProjectID string
	Scope     ArtifactScope
	ScopeID   string // of the job, workflow or project
	Path      string // below artifacts/<scope>/<id>/
	BlobID    string
	SHA256    string // hexadecimal
	Size      int64
	JobID     string // the job that pushed it
	AttemptID string
	CreatedAt time.Time // of this content
}
