package provision

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// ConfigLine finds a setting in the text of a regctl.yaml: the line of its key,
// or of what would be around it. It is 0 if there is neither.
func ConfigLine(text []byte, key string) (line int) {
	var document yaml.Node
	if yaml.Unmarshal(text, &document) != nil || len(document.Content) == 0 {
		return 0
	}
	at := document.Content[0]
	for name := range strings.SplitSeq(key, ".") {
		var value *yaml.Node
		for i := 0; at != nil && at.Kind == yaml.MappingNode && i+1 < len(at.Content); i += 2 {
			if at.Content[i].Value == name {
				line, value = at.Content[i].Line, at.Content[i+1]
			}
		}
		at = value
	}
	return line
}
