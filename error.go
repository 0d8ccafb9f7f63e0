package signalbox

import (
	"errors"
	"fmt"
	"strings"
)

// Code says what kind of failure an Error is. Each edge (HTTP, command line) maps codes to its own world in one table.
type Code string

const (
	CodeInvalid      Code = "invalid"      // the request is wrong; the message says what and how to mend it
	CodeUnauthorized Code = "unauthorized" // no credential, or one that is not known
	CodeForbidden    Code = "forbidden"    // known, but not allowed
	CodeNotFound     Code = "not_found"
	CodeConflict     Code = "conflict"    // somebody changed it meanwhile, or the name is taken
	CodeUnavailable  Code = "unavailable" // cannot be made durable now (disk full, database away); try again
	CodeInternal     Code = "internal"    // anything else; its text is for operators only
)

// Error is a failure with a code and a sentence for people. Message is safe to show to whoever asked; Err is not.
type Error struct {
	Code    Code
	Message string
	Err     error
}

func (e *Error) Error() string {
	if e.Err != nil && !strings.Contains(e.Message, e.Err.Error()) {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an *Error with a formatted message. The text of a %w cause becomes part of the message, so use it
// only for causes that may be shown; for others fill the struct.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// ErrorCode returns the code of the first *Error in err's chain, CodeInternal for any other error, "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// ErrorMessage returns the sentence that may be shown to a user: the message of the first *Error, or
// "internal error" when there is none.
func ErrorMessage(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "internal error"
}
