package signalbox

import "time"

// Role is what a user or token may do; package auth holds the table.
type Role string

const (
	RoleAdmin  Role = "admin"
	RoleMember Role = "member"
	RoleViewer Role = "viewer"
)

// User is a person or service account that may sign in or hold API tokens.
type User struct {
	ID           string
	Name         string
	Email        string
	Role         Role
	PasswordHash string // PHC string, "" when the user cannot sign in with a password
	CreatedAt    time.Time
	DisabledAt   time.Time
	SignedInAt   time.Time // the last time with a browser, zero when never
}

// ServerUser is the account for which the command line on the server's own host acts while nobody has set the server up. It
// has no password, so nobody signs in as it.
const ServerUser = "server"

// Own tells whether an account is the server's and no person's.
func (u *User) Own() bool { return u.Name == ServerUser && u.PasswordHash == "" }

// UserState is what somebody can do with their account.
type UserState string

const (
	UserActive   UserState = "active"
	UserInvited  UserState = "invited" // has no password yet
	UserDisabled UserState = "disabled"
)

// State tells what somebody can do with their account.
func (u *User) State() UserState {
	switch {
	case !u.DisabledAt.IsZero():
		return UserDisabled
	case u.PasswordHash == "":
		return UserInvited
	}
	return UserActive
}

// PasswordLink lets whoever has its code choose the password of an account, once. Only the hash of the code is stored, and an
// account has one link at most.
type PasswordLink struct {
	UserID    string
	Hash      string
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// APIToken is a long random string that acts for a user. Only its hash is stored.
type APIToken struct {
	ID         string
	UserID     string
	Name       string
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastUsedAt time.Time
	RevokedAt  time.Time
}

// How long a browser stays signed in (security.md): while somebody uses it, and at most so long.
const (
	SessionIdle = 12 * time.Hour
	SessionLife = 14 * 24 * time.Hour
)

// Session is a signed-in browser.
type Session struct {
	ID        string
	UserID    string
	Browser   string // in words, such as "Firefox on Linux"
	Address   string // from where
	CreatedAt time.Time
	ExpiresAt time.Time // unless it is used before
}

// Renewed returns when a session ends that is used now, and whether that is so much later that it is worth being stored.
func (s *Session) Renewed(now time.Time) (until time.Time, worth bool) {
	until = now.Add(SessionIdle)
	if last := s.CreatedAt.Add(SessionLife); until.After(last) {
		until = last
	}
	return until, until.Sub(s.ExpiresAt) > SessionIdle/24
}
