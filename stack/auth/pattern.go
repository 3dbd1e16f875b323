package auth

import (
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"
)

// pattern is one compiled pattern; CompileACL describes the language. Globs are
// left to path.Match, which defines that language (it is docker_auth's), does
// not allocate and takes time in proportion to pattern × text at worst.
type pattern struct {
	kind    patternKind
	text    string         // as written
	literal string         // the only match of a literalPattern, or of a labelPattern not filled
	regex   *regexp.Regexp // of a regexPattern
	parts   []part         // the text, cut at its placeholders
	labels  []string       // keys of the label placeholders, in order of first use

	// prefix begins every text that this pattern matches.
	prefix string
	// neverRegex says that no label value makes this a regular expression.
	neverRegex bool
}

// patternKind names the ways to match, the cheapest first.
type patternKind uint8

const (
	literalPattern  patternKind = iota // a glob without anything special
	globPattern                        // a glob without placeholders
	labelPattern                       // ${labels:KEY} alone
	templatePattern                    // anything else with placeholders
	regexPattern                       // a regular expression without placeholders
)

// part is a piece of a pattern.
type part struct {
	kind   partKind
	text   string         // as written
	field  field          // of a valuePart and a capturePart
	source *regexp.Regexp // of a capturePart
	group  int            // of a capturePart
	label  int            // of a labelPart: place in pattern.labels
}

type partKind uint8

const (
	textPart    partKind = iota
	valuePart            // ${account}
	capturePart          // ${account:1}
	labelPart            // ${labels:KEY}
)

// sources are the patterns of one rule that captures may refer to, by field.
type sources [fieldService + 1]*string

// patternContext says what a pattern's placeholders mean.
type patternContext struct {
	sources  sources
	labels   bool // ${labels:KEY} is a placeholder
	badGlobs bool // a malformed glob is accepted, and matches nothing
}

func compilePattern(text string, c patternContext) (pattern, error) {
	p := pattern{text: text}
	p.parts, p.labels = split(text, c)
	regex, err := check(text, c.badGlobs)
	if err != nil {
		return pattern{}, err
	}
	literal, rest := globPrefix(text)
	constant := len(p.parts) == 0 || len(p.parts) == 1 && p.parts[0].kind == textPart
	switch {
	case constant && regex != nil:
		p.kind, p.regex = regexPattern, regex
		p.prefix, _ = regexPrefix(text)
	case constant && rest == "":
		p.kind, p.literal, p.prefix = literalPattern, literal, literal
	case constant:
		p.kind, p.prefix = globPattern, literal
	case len(p.parts) == 1 && p.parts[0].kind == labelPart && rest == "":
		p.kind, p.literal = labelPattern, literal
	default:
		p.kind = templatePattern
		p.neverRegex = !mayBegin(p.parts[0]) || !mayEnd(p.parts[len(p.parts)-1])
		if p.neverRegex && p.parts[0].kind == textPart {
			p.prefix, _ = globPrefix(p.parts[0].text)
		}
	}
	return p, nil
}

// check refuses malformed patterns, judging them before placeholders are
// filled, and returns the compiled regular expression if it is one.
func check(text string, badGlobs bool) (*regexp.Regexp, error) {
	if body, ok := regexBody(text); ok {
		re, err := regexp.Compile(body)
		if err != nil {
			return nil, fmt.Errorf("invalid regex pattern: %w", err)
		}
		return re, nil
	}
	if _, err := path.Match(text, ""); err != nil && !badGlobs {
		return nil, fmt.Errorf("invalid glob pattern: %w", err)
	}
	return nil, nil
}

// regexBody returns the text between the slashes of a regular expression.
func regexBody(text string) (string, bool) {
	if len(text) > 2 && text[0] == '/' && text[len(text)-1] == '/' {
		return text[1 : len(text)-1], true
	}
	return "", false
}

// mayBegin and mayEnd report whether a pattern whose first or last part is p
// can be a regular expression.
func mayBegin(p part) bool {
	return p.kind == labelPart || p.kind == textPart && p.text[0] == '/'
}

func mayEnd(p part) bool {
	return p.kind == labelPart || p.kind == textPart && p.text[len(p.text)-1] == '/'
}

// split cuts text at its placeholders and lists the labels among them.
func split(text string, c patternContext) (parts []part, labels []string) {
	begin := 0
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
			continue
		}
		if !strings.HasPrefix(text[i:], "${") {
			continue
		}
		end := strings.IndexByte(text[i:], '}')
		if end < 0 {
			break
		}
		placeholder, ok := parsePlaceholder(text[i:i+end+1], c)
		if !ok {
			continue
		}
		if key, ok := labelKey(placeholder); ok {
			placeholder.label = place(&labels, key)
		}
		if begin < i {
			parts = append(parts, part{text: text[begin:i]})
		}
		parts = append(parts, placeholder)
		begin = i + end + 1
		i += end
	}
	if begin < len(text) {
		parts = append(parts, part{text: text[begin:]})
	}
	return parts, labels
}

// place returns the index of s in list, appending it if it is not there.
func place(list *[]string, s string) int {
	for i, other := range *list {
		if other == s {
			return i
		}
	}
	*list = append(*list, s)
	return len(*list) - 1
}

// labelKey returns the KEY of a label part.
func labelKey(p part) (string, bool) {
	if p.kind != labelPart {
		return "", false
	}
	return p.text[len("${labels:") : len(p.text)-1], true
}

// parsePlaceholder reads a text like ${name}; what it does not know, and
// captures that can never be filled, are no placeholders.
func parsePlaceholder(text string, c patternContext) (part, bool) {
	name, argument, colon := strings.Cut(text[2:len(text)-1], ":")
	if colon && name == "labels" {
		return part{kind: labelPart, text: text}, c.labels && !strings.Contains(argument, "${")
	}
	for f := range field(len(c.sources)) {
		switch known := f.String(); {
		case !colon && name == known:
			return part{kind: valuePart, text: text, field: f}, true
		case colon && (name == known || name == strings.ToUpper(known[:1])+known[1:]):
			source, group := captureSource(c.sources[f], argument)
			return part{kind: capturePart, text: text, field: f, source: source, group: group}, source != nil
		}
	}
	return part{}, false
}

// captureSource returns the regular expression of a condition and which of its
// groups is meant, or nil if there is no such group.
func captureSource(condition *string, number string) (*regexp.Regexp, int) {
	group, err := strconv.ParseUint(number, 10, 16)
	if err != nil || group == 0 || condition == nil {
		return nil, 0
	}
	body, ok := regexBody(*condition)
	if !ok {
		return nil, 0
	}
	re, err := regexp.Compile(body)
	if err != nil || int(group) > re.NumSubexp() {
		return nil, 0
	}
	return re, int(group)
}

// match reports whether s matches p in the light of q.
func (p *pattern) match(s string, q *Query, cache *regexCache) truth {
	switch p.kind {
	case literalPattern:
		return truthOf(s == p.literal)
	case globPattern:
		ok, _ := path.Match(p.text, s)
		return truthOf(ok)
	case regexPattern:
		return truthOf(p.regex.MatchString(s))
	case labelPattern:
		if s == p.literal {
			return yes
		}
		return anyOf(q.Labels[p.labels[0]], func(value string) truth { return matchText(value, s, cache) })
	default:
		return p.matchFilled(s, q, cache)
	}
}

// matchText matches s with a pattern in which nothing is filled.
func matchText(text, s string, cache *regexCache) truth {
	if body, ok := regexBody(text); ok {
		return cache.match(body, s)
	}
	ok, _ := path.Match(text, s)
	return truthOf(ok)
}

// globPrefix returns the literal text with which a glob begins and the rest of
// the glob, "" if it is all literal.
func globPrefix(text string) (literal, rest string) {
	i := strings.IndexAny(text, `*?[\`)
	if i < 0 {
		return text, ""
	}
	if text[i] != '\\' {
		return text[:i], text[i:]
	}
	var b strings.Builder
	for i = 0; i < len(text); i++ {
		switch text[i] {
		case '*', '?', '[':
			return b.String(), text[i:]
		case '\\':
			if i+1 == len(text) {
				return b.String(), text[i:]
			}
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String(), ""
}

// regexPrefix returns the literal text with which every match of a /regular
// expression/ must begin the whole text, and whether it must be all of it.
func regexPrefix(text string) (literal string, whole bool) {
	body, _ := regexBody(text)
	re, err := syntax.Parse(body, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || re.Sub[0].Op != syntax.OpBeginText {
		return "", false
	}
	next := re.Sub[1]
	if next.Op != syntax.OpLiteral || next.Flags&syntax.FoldCase != 0 {
		return "", false
	}
	literal = string(next.Rune)
	if strings.ContainsRune(literal, utf8.RuneError) { // matches any invalid byte
		return "", false
	}
	return literal, len(re.Sub) == 3 && re.Sub[2].Op == syntax.OpEndText
}
