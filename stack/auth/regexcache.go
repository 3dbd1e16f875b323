package auth

import (
	"regexp"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// maxCached is the number of regular expressions kept, a few KiB each.
	maxCached = 2048
	// maxCachedText keeps long ones out, whose text a client may have chosen.
	maxCachedText = 512
	// maxRegexText bounds the work of compiling one.
	maxRegexText = 16 << 10
)

// regexCache keeps the regular expressions that come from label values and
// filled placeholders. One that does not compile is kept as nil.
type regexCache struct {
	compiled *lru.Cache[string, *regexp.Regexp]
}

func newRegexCache() *regexCache {
	compiled, err := lru.New[string, *regexp.Regexp](maxCached)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &regexCache{compiled}
}

// match says whether s has a match of the regular expression; one that does not
// compile has none, and of one that is too long nothing is known.
func (c *regexCache) match(text, s string) truth {
	re, ok := c.compiled.Get(text)
	if !ok {
		if len(text) > maxRegexText {
			return unknown
		}
		re, _ = regexp.Compile(text)
		if len(text) <= maxCachedText {
			c.compiled.Add(text, re)
		}
	}
	return truthOf(re != nil && re.MatchString(s))
}
