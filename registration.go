package signalbox

import (
	"net/netip"
	"strings"
	"time"
)

// RegistrationToken lets agents of one type register. Only its hash is stored.
type RegistrationToken struct {
	ID          string
	AgentTypeID string
	Name        string
	Networks    []netip.Prefix // from where it may be used; none is from everywhere
	OneTime     bool           // for one agent only
	CreatedBy   string
	CreatedAt   time.Time
	ExpiresAt   time.Time
	RevokedAt   time.Time
	LastUsedAt  time.Time // of a registration, give or take a minute
	LastUsedIP  string
	LastUsedBy  string // the agent's name
}

// Refusal is why a registration was turned away.
type Refusal string

const (
	RefusedNoToken   Refusal = "no token"
	RefusedUnknown   Refusal = "unknown token"
	RefusedRevoked   Refusal = "revoked token"
	RefusedExpired   Refusal = "expired token"
	RefusedSpent     Refusal = "token used before"
	RefusedAddress   Refusal = "address not allowed"
	RefusedRequest   Refusal = "wrong request"
	RefusedName      Refusal = "name not allowed"
	RefusedIdentity  Refusal = "identity not accepted"
	RefusedNameTaken Refusal = "name in use"
	RefusedJob       Refusal = "job not available"
)

// Refusals are all reasons that there are.
var Refusals = []Refusal{
	RefusedNoToken, RefusedUnknown, RefusedRevoked, RefusedExpired, RefusedSpent, RefusedAddress, RefusedRequest, RefusedName, RefusedIdentity,
	RefusedNameTaken, RefusedJob,
}

// RefusedRegistration is what is kept of registrations that were turned away for the same reason.
type RefusedRegistration struct {
	AgentTypeID string // "" when the token is unknown
	AgentType   string // its name, "" likewise or when it is deleted
	Reason      Refusal
	Detail      string
	Name        string // that the agent asked for
	IP          string
	Host        string
	Token       string // the first digits of the token's hash, never of the token
	Count       int
	FirstAt     time.Time
	LastAt      time.Time
}

// RefusedLimit is how many different refusals are kept for each type, and for all tokens that no type has.
const RefusedLimit = 100

// Live tells whether a token has neither ended nor been used up.
func (r *RegistrationToken) Live(now time.Time) bool {
	return r.RevokedAt.IsZero() && (r.ExpiresAt.IsZero() || now.Before(r.ExpiresAt)) && !r.Spent()
}

// Spent tells whether a token for one agent has had its agent.
func (r *RegistrationToken) Spent() bool { return r.OneTime && !r.LastUsedAt.IsZero() }

// State says in one word what has become of a token.
func (r *RegistrationToken) State(now time.Time) string {
	switch {
	case !r.RevokedAt.IsZero():
		return "revoked"
	case r.Spent():
		return "used"
	case !r.Live(now):
		return "expired"
	}
	return "live"
}

// Refuses returns why a token does not count at a time and from an address, "" when it does.
func (r *RegistrationToken) Refuses(now time.Time, ip string) (Refusal, error) {
	const again = "make a new one with \"signalbox agent-type token create\""
	switch {
	case !r.RevokedAt.IsZero():
		return RefusedRevoked, Errorf(CodeNotFound, "Not Found: this registration token was revoked at %s; %s", r.RevokedAt.UTC().Format(time.RFC3339), again)
	case !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt):
		return RefusedExpired, Errorf(CodeNotFound, "Not Found: this registration token expired at %s; %s", r.ExpiresAt.UTC().Format(time.RFC3339), again)
	case !r.allows(ip):
		return RefusedAddress, Errorf(CodeNotFound, "Not Found: this registration token may not be used from the address %s", ip)
	case r.Spent():
		return RefusedSpent, Errorf(CodeNotFound, "Not Found: this registration token was for one agent, which registered at %s; %s",
			r.LastUsedAt.UTC().Format(time.RFC3339), again)
	}
	return "", nil
}

// allows tells whether an address is in one of the token's networks. What is no address is in none.
func (r *RegistrationToken) allows(ip string) bool {
	if len(r.Networks) == 0 {
		return true
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, n := range r.Networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// Limits of a registration token.
const (
	maxNetworks      = 50
	maxTokenLifetime = 10 * 365 * 24 * time.Hour
)

// Validate checks what somebody asked for.
func (r *RegistrationToken) Validate(now time.Time) error {
	if !agentName.MatchString(r.Name) || len(r.Name) > 80 {
		return Errorf(CodeInvalid, "token name %.100q is not allowed: use 1 to 80 letters, digits, '-', '_', '/' and '+'", r.Name)
	}
	if len(r.Networks) > maxNetworks {
		return Errorf(CodeInvalid, "%d networks; a token can have at most %d", len(r.Networks), maxNetworks)
	}
	if !r.ExpiresAt.IsZero() && (!r.ExpiresAt.After(now) || r.ExpiresAt.After(now.Add(maxTokenLifetime))) {
		return Errorf(CodeInvalid, "a token can last for up to ten years from now, or for ever (0)")
	}
	return nil
}

// ParseNetworks reads networks such as 10.0.0.0/8, and single addresses.
func ParseNetworks(texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, t := range texts {
		t = strings.TrimSpace(t)
		if a, err := netip.ParseAddr(t); err == nil && a.Zone() == "" {
			a = a.Unmap()
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(t)
		if err != nil || p.Addr().Is4In6() {
			return nil, Errorf(CodeInvalid, "%.60q is not a network: write it as 10.0.0.0/8, 2001:db8::/32 or a single address", t)
		}
		if p != p.Masked() {
			return nil, Errorf(CodeInvalid, "%.60q names one address and a network; the network is %s", t, p.Masked())
		}
		out = append(out, p)
	}
	return out, nil
}
