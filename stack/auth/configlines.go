package auth

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// keyPath leads to a value of the file: keys of mappings, indexes of lists.
type keyPath []any

func at(path ...any) keyPath { return path }

// child returns the path of something inside.
func (p keyPath) child(path ...any) keyPath {
	return append(p[:len(p):len(p)], path...)
}

// String writes the path as server.addr. For the access list it writes what
// docker_auth's messages begin with.
func (p keyPath) String() string {
	entry := ""
	if len(p) > 1 && p[0] == "acl" {
		entry = fmt.Sprintf("invalid ACL: entry %d", p[1])
		if p = p[2:]; len(p) > 0 {
			entry += ", "
		}
	}
	keys := make([]string, len(p))
	for i := range p {
		keys[i] = plainKey(fmt.Sprint(p[i]))
	}
	return entry + strings.Join(keys, ".")
}

// plainKey quotes a key that would be misread in a path.
func plainKey(key string) string {
	if quoted := strconv.Quote(key); key == "" || strings.Contains(key, ".") || len(quoted) != len(key)+2 {
		return quoted
	}
	return key
}

// lineFinder finds where in a file a value is written. Only yaml.v3 keeps
// that. It says nothing else about the file, so it does no harm that its
// dialect is another one.
type lineFinder struct {
	data   []byte
	root   yaml.Node
	parsed bool
}

// line returns the line, from 1, of what is at path, or of the innermost thing
// around it that is found. It is 0 if there is none but the whole file.
func (f *lineFinder) line(path keyPath) int {
	if !f.parsed {
		f.parsed = true
		if yaml.Unmarshal(f.data, &f.root) != nil {
			f.root = yaml.Node{}
		}
	}
	if len(f.root.Content) == 0 {
		return 0
	}
	line, node := 0, f.root.Content[0]
	for _, part := range path {
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		place, value := find(node, part)
		if value == nil {
			break
		}
		line, node = place.Line, value
	}
	return line
}

// find returns the value at a key or index, and the node whose line counts.
func find(in *yaml.Node, part any) (place, value *yaml.Node) {
	switch part := part.(type) {
	case int:
		if in.Kind == yaml.SequenceNode && part < len(in.Content) {
			place, value = in.Content[part], in.Content[part]
		}
	case string:
		if in.Kind != yaml.MappingNode {
			break
		}
		for i := 0; i+1 < len(in.Content); i += 2 { // the last of equal keys counts
			if key := in.Content[i]; key.Value == part || part == "" && key.ShortTag() == "!!null" {
				place, value = key, in.Content[i+1]
			}
		}
	}
	return place, value
}
