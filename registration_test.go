package signalbox

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestRegistrationTokenRefuses(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	net := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		name  string
		token RegistrationToken
		ip    string
		want  Refusal
		state string
	}{
		{"plain", RegistrationToken{}, "192.0.2.1", "", "live"},
		{"plain, used before", RegistrationToken{LastUsedAt: now}, "192.0.2.1", "", "live"},
		{"not yet expired", RegistrationToken{ExpiresAt: now.Add(time.Millisecond)}, "192.0.2.1", "", "live"},
		{"expired this moment", RegistrationToken{ExpiresAt: now}, "192.0.2.1", RefusedExpired, "expired"},
		{"revoked", RegistrationToken{RevokedAt: now}, "192.0.2.1", RefusedRevoked, "revoked"},
		{"for one agent", RegistrationToken{OneTime: true}, "192.0.2.1", "", "live"},
		{"for one agent, used", RegistrationToken{OneTime: true, LastUsedAt: now}, "192.0.2.1", RefusedSpent, "used"},
		{"in the network", RegistrationToken{Networks: net}, "10.1.255.255", "", "live"},
		{"in the network, as IPv6 writes it", RegistrationToken{Networks: net}, "::ffff:10.1.0.1", "", "live"},
		{"in the other network", RegistrationToken{Networks: net}, "2001:db8::1", "", "live"},
		{"in the network with a zone", RegistrationToken{Networks: net}, "2001:db8::1%eth0", "", "live"},
		{"outside", RegistrationToken{Networks: net}, "10.2.0.0", RefusedAddress, "live"},
		{"no address", RegistrationToken{Networks: net}, "@", RefusedAddress, "live"},
		{"used up and outside", RegistrationToken{Networks: net, OneTime: true, LastUsedAt: now}, "192.0.2.1", RefusedAddress, "used"},
	} {
		got, err := c.token.Refuses(now, c.ip)
		if got != c.want || (err == nil) != (got == "") || err != nil && ErrorCode(err) != CodeNotFound {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.want)
		}
		if s := c.token.State(now); s != c.state {
			t.Errorf("%s: state %s, want %s", c.name, s, c.state)
		}
	}
}

func TestParseNetworks(t *testing.T) {
	got, err := ParseNetworks([]string{"10.0.0.0/8", " 192.0.2.7", "2001:db8::/32", "::1", "::ffff:192.0.2.8", "0.0.0.0/0"})
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, p := range got {
		text = append(text, p.String())
	}
	if want := "10.0.0.0/8 192.0.2.7/32 2001:db8::/32 ::1/128 192.0.2.8/32 0.0.0.0/0"; strings.Join(text, " ") != want {
		t.Errorf("%s, want %s", text, want)
	}
	for _, bad := range []string{"", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8,11.0.0.0/8", "localhost", "fe80::1%eth0", "::ffff:10.0.0.0/104", "10.0.0.0/-1"} {
		if got, err := ParseNetworks([]string{bad}); ErrorCode(err) != CodeInvalid {
			t.Errorf("%q: %v %v", bad, got, err)
		}
	}
}

func TestRegistrationTokenValidate(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		r  RegistrationToken
		ok bool
	}{
		{RegistrationToken{Name: "eu/office+1"}, true},
		{RegistrationToken{Name: "a", ExpiresAt: now.Add(time.Hour)}, true},
		{RegistrationToken{Name: ""}, false},
		{RegistrationToken{Name: "a b"}, false},
		{RegistrationToken{Name: "a\x00"}, false},
		{RegistrationToken{Name: strings.Repeat("a", 81)}, false},
		{RegistrationToken{Name: "a", ExpiresAt: now}, false},
		{RegistrationToken{Name: "a", ExpiresAt: now.Add(11 * 365 * 24 * time.Hour)}, false},
		{RegistrationToken{Name: "a", Networks: make([]netip.Prefix, 51)}, false},
	} {
		if err := c.r.Validate(now); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
}
