package auth

import (
	"slices"
	"sort"
	"strings"
)

// index finds the few rules that can match a query, so that a decision does not
// depend on the number of rules. Each rule is filed under its most selective
// literal condition; what it finds may match, what it leaves out cannot.
type index struct {
	account map[string][]int32     // by the only account that matches
	name    map[string][]int32     // by the only name that matches
	label   map[string]labelBucket // by a label that the account must have
	prefix  prefixTable            // by how the name must begin
	rest    []int32                // rules that may match anything
}

// labelBucket holds the rules filed under a label: any value, or just one.
type labelBucket struct {
	every []int32
	value map[string][]int32
}

// indexKey is a place to file a rule under.
type indexKey struct {
	kind  keyKind
	key   string // of a label
	value string
}

type keyKind uint8

const (
	accountKey keyKind = iota
	nameKey
	labelValueKey
	labelKeyKey
	prefixKey
)

// newIndex files each rule where the fewest others could be.
func newIndex(rules []rule) index {
	choices := make([][][]indexKey, len(rules))
	crowd := map[indexKey]int{}
	for i := range rules {
		choices[i] = rules[i].keys()
		for _, keys := range choices[i] {
			for _, k := range keys {
				crowd[k]++
			}
		}
	}
	x := index{
		account: map[string][]int32{},
		name:    map[string][]int32{},
		label:   map[string]labelBucket{},
	}
	prefixes := map[string][]int32{}
	for i, choice := range choices {
		if len(choice) == 0 {
			x.rest = append(x.rest, int32(i))
			continue
		}
		size := func(keys []indexKey) (n int) {
			for _, k := range keys {
				n += crowd[k]
			}
			return n
		}
		best := slices.MinFunc(choice, func(a, b []indexKey) int { return size(a) - size(b) })
		for _, k := range best {
			x.add(k, int32(i), prefixes)
		}
	}
	x.prefix = newPrefixTable(prefixes)
	return x
}

func (x *index) add(k indexKey, i int32, prefixes map[string][]int32) {
	switch k.kind {
	case accountKey:
		x.account[k.value] = append(x.account[k.value], i)
	case nameKey:
		x.name[k.value] = append(x.name[k.value], i)
	case prefixKey:
		prefixes[k.value] = append(prefixes[k.value], i)
	case labelKeyKey:
		b := x.label[k.key]
		b.every = append(b.every, i)
		x.label[k.key] = b
	case labelValueKey:
		b := x.label[k.key]
		if b.value == nil {
			b.value = map[string][]int32{}
		}
		b.value[k.value] = append(b.value[k.value], i)
		x.label[k.key] = b
	}
}

// keys lists the ways to file r. Each way is a set of keys of which every query
// that r matches has at least one.
func (r *rule) keys() [][]indexKey {
	var ways [][]indexKey
	for i := range r.conditions {
		c := &r.conditions[i]
		switch c.field {
		case fieldAccount:
			ways = append(ways, c.pattern.keys(accountKey)...)
		case fieldName:
			ways = append(ways, c.pattern.keys(nameKey)...)
		case fieldLabel:
			if value, ok := c.pattern.only(); ok {
				ways = append(ways, []indexKey{{labelValueKey, c.label, value}})
			} else {
				ways = append(ways, []indexKey{{labelKeyKey, c.label, ""}})
			}
		}
	}
	return ways
}

// keys lists the ways to file a condition on account or name.
func (p *pattern) keys(kind keyKind) [][]indexKey {
	if value, ok := p.only(); ok {
		return [][]indexKey{{{kind, "", value}}}
	}
	var ways [][]indexKey
	if literal, ok := p.unfilled(); ok {
		way := []indexKey{{kind, "", literal}}
		for _, key := range p.labels {
			way = append(way, indexKey{labelKeyKey, key, ""})
		}
		ways = append(ways, way)
	}
	if kind == nameKey && p.prefix != "" {
		ways = append(ways, []indexKey{{prefixKey, "", p.prefix}})
	}
	return ways
}

// only returns the one text that p matches, if there is just one.
func (p *pattern) only() (string, bool) {
	switch p.kind {
	case literalPattern:
		return p.literal, true
	case regexPattern:
		return regexPrefix(p.text)
	default:
		return "", false
	}
}

// unfilled returns the one text that p matches when the account has none of its
// labels, if there is just one.
func (p *pattern) unfilled() (string, bool) {
	for i := range p.parts {
		if k := p.parts[i].kind; k != textPart && k != labelPart {
			return "", false
		}
	}
	literal, rest := globPrefix(p.text)
	_, regex := regexBody(p.text)
	return literal, len(p.labels) > 0 && rest == "" && !regex
}

// candidates walks through the rules that can match a query, in order.
type candidates struct {
	some []int32 // found under the query's values
	rest []int32
}

// candidates appends what it finds to buffer.
func (x *index) candidates(q *Query, buffer []int32) candidates {
	some := append(buffer, x.account[q.Account]...)
	some = append(some, x.name[q.Name]...)
	some = x.prefix.appendFor(some, q.Name)
	if len(x.label) > 0 {
		for key, values := range q.Labels {
			b, ok := x.label[key]
			if !ok {
				continue
			}
			some = append(some, b.every...)
			if b.value == nil {
				continue
			}
			for _, value := range values {
				some = append(some, b.value[value]...)
			}
		}
	}
	slices.Sort(some)
	return candidates{slices.Compact(some), x.rest}
}

// next returns the place of the next rule, false when there is none left.
func (c *candidates) next() (int32, bool) {
	from := &c.rest
	if len(c.rest) == 0 || len(c.some) > 0 && c.some[0] < c.rest[0] {
		from = &c.some
	}
	if len(*from) == 0 {
		return 0, false
	}
	i := (*from)[0]
	*from = (*from)[1:]
	return i, true
}

// prefixTable finds all stored texts with which a given one begins.
type prefixTable []prefixEntry // sorted by text

type prefixEntry struct {
	text   string
	parent int // the longest other entry with which text begins, -1 if none
	rules  []int32
}

func newPrefixTable(rules map[string][]int32) prefixTable {
	table := make(prefixTable, 0, len(rules))
	for text, list := range rules {
		table = append(table, prefixEntry{text, -1, list})
	}
	slices.SortFunc(table, func(a, b prefixEntry) int { return strings.Compare(a.text, b.text) })
	for i := 1; i < len(table); i++ {
		table[i].parent = table.longest(i-1, table[i].text)
	}
	return table
}

// longest returns the entry with the longest beginning of s, given the greatest
// entry that does not sort after s: all beginnings of s are that entry or its
// parents, since whatever sorts between a beginning of s and s has it too.
func (t prefixTable) longest(i int, s string) int {
	for i >= 0 && !strings.HasPrefix(s, t[i].text) {
		i = t[i].parent
	}
	return i
}

// appendFor appends the rules of all entries with which s begins.
func (t prefixTable) appendFor(out []int32, s string) []int32 {
	after := sort.Search(len(t), func(i int) bool { return t[i].text > s })
	for i := t.longest(after-1, s); i >= 0; i = t[i].parent {
		out = append(out, t[i].rules...)
	}
	return out
}
