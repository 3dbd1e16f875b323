package embedded

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/sirupsen/logrus"
)

// forwardLogs sends what the registry library logs at level (error, warn, info,
// debug) and above to log, and silences the rest. The library knows one
// process-wide logger only.
func forwardLogs(log *slog.Logger, level string) {
	logrus.SetOutput(io.Discard)
	parsed, err := logrus.ParseLevel(level)
	if err != nil {
		parsed = logrus.WarnLevel
	}
	logrus.SetLevel(parsed)
	hooks := logrus.LevelHooks{}
	hooks.Add(logHook{log})
	logrus.StandardLogger().ReplaceHooks(hooks)
}

// logHook passes a line on, with the fields that say what it is about. URLs are
// left out: they carry the state of uploads.
type logHook struct{ log *slog.Logger }

// Levels implements logrus.Hook.
func (logHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (h logHook) Fire(entry *logrus.Entry) error {
	if clientsDoing(entry) {
		return nil
	}
	level := slog.LevelError
	switch entry.Level {
	case logrus.WarnLevel:
		level = slog.LevelWarn
	case logrus.InfoLevel:
		level = slog.LevelInfo
	case logrus.DebugLevel, logrus.TraceLevel:
		level = slog.LevelDebug
	}
	var attrs []slog.Attr
	for _, key := range []string{
		"http.request.method", "http.request.remoteaddr", "auth.user.name", "vars.name", "vars.reference", "vars.digest",
		"http.response.status", "err.code", "err.message", "err.detail", "error",
	} {
		if value, ok := entry.Data[key]; ok {
			attrs = append(attrs, slog.String(key, fmt.Sprint(value)))
		}
	}
	h.log.LogAttrs(context.Background(), level, "registry: "+entry.Message, attrs...)
	return nil
}

// clientsDoing picks out what the library calls a warning or an error and every
// client causes in its normal work: it asks without a token first, looks for
// blobs that are not there yet, and hangs up.
func clientsDoing(entry *logrus.Entry) bool {
	status, answered := entry.Data["http.response.status"].(int)
	return answered && status < http.StatusInternalServerError ||
		strings.HasPrefix(entry.Message, "error authorizing context:") ||
		strings.HasPrefix(entry.Message, "client disconnected during ") ||
		fmt.Sprint(entry.Data["err.detail"]) == "client disconnected"
}
