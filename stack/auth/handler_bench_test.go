package auth

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// BenchmarkToken is one token request of the article's user, whose password was
// proven a moment ago, with the audit log going to a file.
func BenchmarkToken(b *testing.B) {
	s, _ := storedServer(b)
	if err := s.audit.Reopen(filepath.Join(b.TempDir(), "audit.log")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, asWaldi("repository:test:pull,push"))
			if w.Code != http.StatusOK {
				b.Errorf("%d %s", w.Code, w.Body)
			}
		}
	})
}
