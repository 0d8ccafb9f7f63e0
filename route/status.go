package route

import (
	"net/http"

	"github.com/signalbox-ci/signalbox"
)

// Status is the one table from codes to HTTP.
func Status(err error) int {
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeInvalid:
		return http.StatusBadRequest
	case signalbox.CodeUnauthorized:
		return http.StatusUnauthorized
	case signalbox.CodeForbidden:
		return http.StatusForbidden
	case signalbox.CodeNotFound:
		return http.StatusNotFound
	case signalbox.CodeConflict:
		return http.StatusConflict
	case signalbox.CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
