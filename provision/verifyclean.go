package provision

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"regctl/stack/auth"
)

// cleanUp removes all that this run has made, and the images of killed ones.
func (v *verification) cleanUp(ctx context.Context) (string, error) {
	stale, err := v.removeGuest(ctx)
	if err != nil {
		return "", err
	}
	seen := "image, account and rules are removed; the blobs are left to garbage collection"
	if stale > 0 {
		seen += fmt.Sprintf("; images of interrupted runs removed: %d", stale)
	}
	return seen, nil
}

// removeGuest removes all images that should not be there, and then the guest;
// all that it can. It returns the number of images of other guests.
func (v *verification) removeGuest(ctx context.Context) (stale int, err error) {
	if !v.guest.made {
		return 0, nil
	}
	// A registry that does not answer must leave time for the account.
	images, cancel := context.WithTimeout(ctx, proofLimit/2)
	defer cancel()
	for path := range v.guest.pushed {
		err = errors.Join(err, v.removeImage(images, path))
	}
	if v.guest.pushed[firstRepo] {
		var failed error
		stale, failed = v.removeStale(images)
		err = errors.Join(err, failed)
	}
	_, failed := v.admin.RemoveUser(ctx, v.guest.name())
	err = errors.Join(err, unlessAbsent(failed))
	for _, r := range v.guest.rules() {
		_, failed := v.admin.RemoveRule(ctx, *r.Seq)
		err = errors.Join(err, unlessAbsent(failed))
	}
	return stale, err
}

// removeImage removes the guest's image, and looks whether it is gone.
func (v *verification) removeImage(ctx context.Context, path string) error {
	if path == deniedRepo {
		there, err := v.has(ctx, path)
		if !there || err != nil {
			return err
		}
		if _, err := v.admin.SetRule(ctx, v.guest.mayRemoveDenied()); err != nil {
			return err
		}
	}
	digest, err := v.image.Digest()
	if err != nil {
		return err
	}
	if err := v.removeManifest(ctx, path, digest.String()); err != nil {
		return err
	}
	there, err := v.has(ctx, path)
	if there {
		err = fmt.Errorf("the image in %s is there after it was removed", path)
	}
	return err
}

// removeManifest removes a manifest with all its tags.
func (v *verification) removeManifest(ctx context.Context, path, digest string) error {
	repo, err := v.repo(path)
	if err != nil {
		return err
	}
	err = remote.Delete(repo.Digest(digest), v.options(ctx, v.transport)...)
	if err == nil || answered(err, http.StatusNotFound) {
		return nil
	}
	return fmt.Errorf("removing %s from %s: %w", digest, path, err)
}

// removeStale removes the images whose guest is no more.
func (v *verification) removeStale(ctx context.Context) (n int, err error) {
	users, err := v.admin.Users(ctx)
	if err != nil {
		return 0, err
	}
	alive := map[string]bool{}
	for _, u := range users {
		alive[u.Name] = true
	}
	repo, err := v.repo(firstRepo)
	if err != nil {
		return 0, err
	}
	tags, err := remote.List(repo, v.options(ctx, v.transport)...)
	if answered(err, http.StatusNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking for what interrupted runs left: %w", err)
	}
	for _, tag := range tags {
		if !strings.HasPrefix(tag, guestPrefix) || alive[tag] {
			continue
		}
		descriptor, err := remote.Head(repo.Tag(tag), v.options(ctx, v.transport)...)
		if answered(err, http.StatusNotFound) {
			continue
		}
		if err == nil {
			err = v.removeManifest(ctx, firstRepo, descriptor.Digest.String())
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// removeExpired removes the guests that killed runs have left, when their time
// is over: until then they may be at work.
func removeExpired(ctx context.Context, admin *auth.Client, now time.Time) error {
	users, err := admin.Users(ctx)
	if err != nil {
		return err
	}
	for _, u := range users {
		if strings.HasPrefix(u.Name, guestPrefix) && u.Comment == guestComment && u.Over(now) {
			if _, err := admin.RemoveUser(ctx, u.Name); unlessAbsent(err) != nil {
				return err
			}
		}
	}
	rules, err := admin.Rules(ctx)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.Source == auth.SourceStore && r.Seq < 0 && r.Comment == guestComment && r.Over(now) {
			if _, err := admin.RemoveRule(ctx, r.Seq); unlessAbsent(err) != nil {
				return err
			}
		}
	}
	return nil
}

// unlessAbsent is err unless it says that there is no such thing.
func unlessAbsent(err error) error {
	if admin, ok := errors.AsType[*auth.AdminError](err); ok && admin.Kind == auth.KindNotFound {
		return nil
	}
	return err
}
