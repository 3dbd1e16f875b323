package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"regctl/stack/auth/store"
)

// checkLabels refuses labels that a rule cannot use: values are patterns where
// a rule says ${labels:KEY}.
func checkLabels(labels map[string][]string) error {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !labelKeyRune(r) }) {
			return usage(fmt.Sprintf("label %q: a key consists of letters, digits, and . _ -", key))
		}
		for _, value := range labels[key] {
			if err := checkLabelValue(value); err != nil {
				return usage(fmt.Sprintf("label %s=%s: %v", key, value, err))
			}
		}
	}
	return nil
}

func labelKeyRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r)
}

func checkLabelValue(value string) error {
	switch {
	case value == "":
		return errors.New("the value is empty")
	case len(value) > maxLabelValue:
		return fmt.Errorf("the value is longer than %d bytes", maxLabelValue)
	case !printable(value):
		return errors.New("only printable characters are allowed")
	}
	_, err := check(value, false)
	return err
}

// removeLabel refuses to remove what is not there: a typing error would leave a
// right that was meant to go.
func removeLabel(u *store.User, key string, values []string) error {
	has, ok := u.Labels[key]
	if !ok {
		return notFound(fmt.Sprintf("user %q has no label %s", u.Name, key), "show the labels: regctl user show")
	}
	for _, value := range values {
		if !slices.Contains(has, value) {
			return notFound(fmt.Sprintf("user %q has no label %s=%s", u.Name, key, value), "show the labels: regctl user show")
		}
	}
	has = slices.DeleteFunc(has, func(value string) bool { return slices.Contains(values, value) })
	u.Labels[key] = has
	if len(values) == 0 {
		delete(u.Labels, key)
	}
	return nil
}

func copyLabels(labels map[string][]string) map[string][]string {
	out := map[string][]string{}
	for key, values := range labels {
		out[key] = slices.Clone(values)
	}
	return out
}

// tidyLabels drops repeated values, which would only cost time, and keys
// without values.
func tidyLabels(labels map[string][]string) map[string][]string {
	out := map[string][]string{}
	for key, values := range labels {
		for _, value := range values {
			if !slices.Contains(out[key], value) {
				out[key] = append(out[key], value)
			}
		}
	}
	return out
}
