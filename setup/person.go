package setup

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
)

// MinPassword is how many characters a new password has at least.
const MinPassword = 12

// CheckName returns what is wrong with the name of a person's account, "" when it is good.
func CheckName(name string) string {
	switch name {
	case "":
		return "Give the name to sign in with."
	case signalbox.ServerUser:
		return "That name is the server's own; choose another one."
	}
	return line(name, 80)
}

// CheckEmail returns what is wrong with an e-mail address, "" when it is good.
func CheckEmail(address string) string {
	if address == "" {
		return "Give an e-mail address."
	}
	if a, err := mail.ParseAddress(address); err != nil || a.Address != address || len(address) > 254 {
		return "That is not an e-mail address; it looks like ana@example.com."
	}
	return ""
}

// CheckPassword returns what is wrong with a password of somebody, "" when it is good.
func CheckPassword(password, name, email string) string {
	switch n := utf8.RuneCountInString(password); {
	case n < MinPassword:
		return fmt.Sprintf("The password has %d characters; it needs at least %d.", n, MinPassword)
	case len(password) > auth.MaxPassword:
		return fmt.Sprintf("The password is too long; at most %d bytes are used.", auth.MaxPassword)
	case strings.EqualFold(password, name), strings.EqualFold(password, email):
		return "The password must be another word than the name or address."
	}
	return ""
}
