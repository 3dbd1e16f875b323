package auth

import (
	"path"
	"strings"
)

// maxTries bounds the label values tried for one condition.
const maxTries = 10_000

// filling is the search for values that make a pattern match.
type filling struct {
	pattern *pattern
	query   *Query
	cache   *regexCache
	text    string // to be matched
	plain   bool   // leave labels as they are written
	crosses bool   // let * and ? match "/", to explain; see neutral
	tries   int    // label values that may yet be tried
}

// filled is a beginning of the pattern with its placeholders filled in. It is
// passed by value: that keeps the buffers behind its slices on the stack, and
// lets a search go back to where it was.
type filled struct {
	text   []byte
	values []string // of pattern.labels, as far as they are chosen
	next   int      // the part to add

	// A glob can be given up early. While it is literal, it is compared as it
	// grows: at bytes of the text are equal to what is filled.
	wild   int // where the literal beginning ends, -1 if not yet
	at     int
	failed bool // the literal beginning differs

	// A label may bring the slashes of a regular expression, other values not.
	begun  bool // something has been written
	opens  bool // the first byte is the slash of a regular expression
	closes bool // the last byte is
}

// matchFilled matches a pattern with placeholders: first with labels left as
// they are written, then with all combinations of the labels that q has.
func (p *pattern) matchFilled(s string, q *Query, cache *regexCache) truth {
	return p.fill(filling{pattern: p, query: q, cache: cache, text: s})
}

func (p *pattern) fill(f filling) truth {
	var text [128]byte
	var values [4]string
	start := filled{text: text[:0], values: values[:0], wild: -1}
	f.tries = maxTries
	f.plain = true
	plain := f.search(start)
	if plain == yes {
		return yes
	}
	for _, key := range p.labels {
		if _, has := f.query.Labels[key]; has {
			f.plain = false
			return max(plain, f.search(start))
		}
	}
	return plain
}

// search fills one part after the other and tries the values of each label,
// depth first.
func (f *filling) search(e filled) truth {
	for ; e.next < len(f.pattern.parts); e.next++ {
		p := &f.pattern.parts[e.next]
		switch p.kind {
		case textPart:
			e = f.write(e, p.text)
		case valuePart:
			e = f.writeValue(e, f.query.value(p.field))
		case capturePart:
			e = f.writeCapture(e, p)
		case labelPart:
			switch {
			case f.plain:
				e = f.write(e, p.text)
			case p.label < len(e.values):
				e = f.write(e, e.values[p.label])
			default:
				return f.searchLabel(e, p)
			}
		}
		if f.hopeless(e) {
			return no
		}
	}
	return f.matches(e)
}

// searchLabel goes on with each value of the label p, which is met first here.
func (f *filling) searchLabel(e filled, p *part) truth {
	values, has := f.query.Labels[f.pattern.labels[p.label]]
	if !has {
		return f.searchValue(e, p.text)
	}
	most := no
	for _, value := range values {
		if f.tries == 0 {
			return unknown
		}
		f.tries--
		if most = max(most, f.searchValue(e, value)); most == yes {
			break
		}
	}
	return most
}

func (f *filling) searchValue(e filled, value string) truth {
	e.values = append(e.values, value)
	e.next++
	e = f.write(e, value)
	if f.hopeless(e) {
		return no
	}
	return f.search(e)
}

// write adds a piece of pattern.
func (f *filling) write(e filled, text string) filled {
	if text == "" {
		return e
	}
	if !e.begun {
		e.begun, e.opens = true, text[0] == '/'
	}
	e.closes = text[len(text)-1] == '/'
	if f.crosses {
		text = neutral(text)
	}
	if e.wild < 0 {
		literal, rest := globPrefix(text)
		e = f.compare(e, literal)
		if rest != "" {
			e.wild = len(e.text) + len(text) - len(rest)
		}
	}
	e.text = append(e.text, text...)
	return e
}

// writeValue adds literal text.
func (f *filling) writeValue(e filled, value string) filled {
	e.begun, e.closes = true, false
	if f.crosses {
		value = neutral(value)
	}
	if e.wild < 0 {
		e = f.compare(e, value)
	}
	for i := range len(value) {
		if strings.IndexByte(`\.+*?()|[]{}^$-`, value[i]) >= 0 {
			e.text = append(e.text, '\\')
		}
		e.text = append(e.text, value[i])
	}
	return e
}

// writeCapture adds what a group found, or the placeholder if nothing matched.
func (f *filling) writeCapture(e filled, p *part) filled {
	value := f.query.value(p.field)
	found := p.source.FindStringSubmatchIndex(value)
	switch {
	case found == nil:
		return f.write(e, p.text)
	case found[2*p.group] < 0:
		return f.writeValue(e, "")
	default:
		return f.writeValue(e, value[found[2*p.group]:found[2*p.group+1]])
	}
}

// compare advances over literal text at the beginning of a glob.
func (f *filling) compare(e filled, literal string) filled {
	if e.failed || !strings.HasPrefix(f.text[e.at:], literal) {
		e.failed = true
		return e
	}
	e.at += len(literal)
	return e
}

// hopeless reports whether no way of filling the rest can match.
func (f *filling) hopeless(e filled) bool {
	return e.failed && (f.pattern.neverRegex || e.begun && !e.opens)
}

// matches matches the text with the whole filled pattern.
func (f *filling) matches(e filled) truth {
	switch {
	case e.opens && e.closes && len(e.text) > 2:
		if f.crosses {
			return no
		}
		return f.cache.match(string(e.text[1:len(e.text)-1]), f.text)
	case e.failed:
		return no
	case e.wild < 0:
		return truthOf(e.at == len(f.text))
	default:
		ok, _ := path.Match(string(e.text[e.wild:]), f.text[e.at:])
		return truthOf(ok)
	}
}

// neutral replaces "/" by a byte that globs do not treat specially.
func neutral(text string) string { return strings.ReplaceAll(text, "/", "\x00") }
