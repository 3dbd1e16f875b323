package store_test

import (
	"path/filepath"
	"testing"

	"regctl/stack/auth/store"
	"regctl/stack/auth/store/storetest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, dir string) store.Store {
		t.Helper()
		s, err := store.OpenSQLite(filepath.Join(dir, "auth.db"), store.AuditLimit(storetest.AuditLimit))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
