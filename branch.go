package signalbox

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// BranchID names a branch, tag or pull request of a project in addresses. It is made of the project's id and the name that workflows
// have for the ref (Workflow.BranchName), so it exists before the first workflow and stays the same as long as the project does.
func BranchID(projectID, branchName string) string {
	id, err := hex.DecodeString(strings.ReplaceAll(projectID, "-", ""))
	if err != nil || len(id) != 16 {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(id, branchName...))
}

// ParseBranchID returns what a branch's id was made of; ok is false when it is none.
func ParseBranchID(id string) (projectID, branchName string, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(raw) <= 16 || !utf8.Valid(raw[16:]) {
		return "", "", false
	}
	h := hex.EncodeToString(raw[:16])
	projectID = strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
	return projectID, string(raw[16:]), true
}
