package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"regctl/stack/auth/store"
)

const (
	auditDelay = 100 * time.Millisecond // how long records are collected
	auditBatch = 4096                   // and how many; then requests wait
)

// auditLog writes records in batches, off the request's path, to a file of JSON
// lines and to the store's index. A kill -9 loses those of the last moment.
type auditLog struct {
	store   store.Store
	log     *slog.Logger
	path    atomic.Pointer[string]
	records chan *Record
	syncs   chan chan struct{}
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed when all is written
	broken  atomic.Bool   // the last batch was not written
	lost    int           // records missing in the file or the index since the last good batch

	closing sync.Once
}

func openAuditLog(path string, st store.Store, log *slog.Logger) (*auditLog, error) {
	a := &auditLog{store: st, log: log, records: make(chan *Record, auditBatch), syncs: make(chan chan struct{}), stop: make(chan struct{}), done: make(chan struct{})}
	if err := a.Reopen(path); err != nil {
		return nil, err
	}
	go a.run()
	return a, nil
}

// Reopen directs later records to path: "" is nowhere, "-" standard error.
func (a *auditLog) Reopen(path string) error {
	if path != "" && path != "-" {
		f, err := openAudit(path)
		if err != nil {
			return fmt.Errorf("audit.file: %w", err)
		}
		f.Close()
	}
	a.path.Store(&path)
	return nil
}

func openAudit(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}

// write queues a record; it waits when the disk does not keep up.
func (a *auditLog) write(rec *Record) {
	select {
	case a.records <- rec:
	case <-a.stop: // a request that outlived the server
	}
}

// sync returns when all that was written before it is in the file and the index.
func (a *auditLog) sync(ctx context.Context) error {
	written := make(chan struct{})
	select {
	case a.syncs <- written:
	case <-a.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-written:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close writes out what is queued.
func (a *auditLog) Close() error {
	a.closing.Do(func() { close(a.stop) })
	<-a.done
	return nil
}

func (a *auditLog) run() {
	defer close(a.done)
	for {
		select {
		case first := <-a.records:
			a.record(a.collect(first, time.After(auditDelay)))
		case written := <-a.syncs:
			a.drain()
			close(written)
		case <-a.stop:
			a.drain()
			return
		}
	}
}

// drain writes what is queued now; under load there is always more to come.
func (a *auditLog) drain() {
	over := make(chan time.Time)
	close(over)
	for left := len(a.records); left > 0; {
		batch := a.collect(<-a.records, over)
		left -= len(batch)
		a.record(batch)
	}
}

// collect waits until the time is over or the log is closed, and gathers what
// has been queued by then. Nobody receives while it waits: a request that queues
// a record wakes no one up.
func (a *auditLog) collect(first *Record, over <-chan time.Time) []*Record {
	select {
	case <-over:
	case <-a.stop:
	}
	batch := append(make([]*Record, 0, len(a.records)+1), first)
	for len(batch) < auditBatch {
		select {
		case rec := <-a.records:
			batch = append(batch, rec)
		default:
			return batch
		}
	}
	return batch
}

func (a *auditLog) record(batch []*Record) {
	err := a.flush(batch)
	a.broken.Store(err != nil)
	switch {
	case err != nil && a.lost == 0:
		a.log.Error("audit records are being lost", "error", err)
	case err == nil && a.lost > 0:
		a.log.Error("audit records were lost", "records", a.lost)
		a.lost = 0
	}
	if err != nil {
		a.lost += len(batch)
	}
}

// flush opens the file anew for each batch, so that log rotation needs no signal.
func (a *auditLog) flush(batch []*Record) error {
	var lines bytes.Buffer
	rows := make([]store.AuditRow, 0, len(batch))
	for _, rec := range batch {
		line, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		lines.Write(line)
		lines.WriteByte('\n')
		rows = append(rows, store.AuditRow{
			Time: rec.Time, Account: rec.Account, Client: rec.Client, Outcome: string(rec.Outcome), Record: line,
		})
	}
	err := a.append(lines.Bytes())
	if a.store != nil {
		err = errors.Join(err, a.store.AppendAudit(context.Background(), rows))
	}
	return err
}

func (a *auditLog) append(lines []byte) error {
	switch path := *a.path.Load(); path {
	case "":
		return nil
	case "-":
		_, err := os.Stderr.Write(lines)
		return err
	default:
		f, err := openAudit(path)
		if err != nil {
			return err
		}
		_, err = f.Write(lines)
		return errors.Join(err, f.Close())
	}
}
