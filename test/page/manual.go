package page

import (
	"os"
	"strings"
)

// Examples are the lines of a manual page's section of that name that are printed as
// they are (mdoc(7)).
func Examples(file string) (blocks []Block, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	inside, literal := false, false
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.ReplaceAll(line, `\\`, `\`)
		switch {
		case strings.HasPrefix(line, ".Sh "):
			inside = line == ".Sh EXAMPLES"
		case !inside:
		case strings.HasPrefix(line, ".Bd -literal"):
			literal = true
			blocks = append(blocks, Block{Line: i + 1, Kind: "sh"})
		case strings.HasPrefix(line, ".Ed"):
			literal = false
		case strings.HasPrefix(line, ".Dl "):
			blocks = append(blocks, Block{Line: i, Kind: "sh", Text: line[len(".Dl "):] + "\n"})
		case literal:
			blocks[len(blocks)-1].Text += line + "\n"
		}
	}
	return blocks, nil
}
