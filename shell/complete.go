package shell

import "strings"

// complete gives the rest of a word when Tab is pressed, as far as it is certain.
func complete(line string, pos int, key rune) (string, int, bool) {
	if key != '\t' {
		return "", 0, false
	}
	before, after := line[:pos], line[pos:]
	start := strings.LastIndexByte(before, ' ') + 1
	rest, found := common(follow(strings.Fields(before[:start])), before[start:])
	if !found {
		return line, pos, true // a Tab is nothing that a command is made of
	}
	before = before[:start] + rest
	return before + after, len(before), true
}

// follow is what may come after these words.
func follow(words []string) []string {
	if len(words) == 0 {
		return names()
	}
	c, err := find(words[0])
	if err != nil || len(words) > 1 && c.name != "log" {
		return nil
	}
	if c.name == "help" {
		return names()
	}
	return c.next
}

// common is what all that begin with the word begin with; of one, itself and a blank.
func common(all []string, word string) (begin string, found bool) {
	for _, a := range all {
		if !strings.HasPrefix(a, word) {
			continue
		}
		if !found {
			begin, found = a+" ", true
		}
		for !strings.HasPrefix(a+" ", begin) {
			begin = begin[:len(begin)-1]
		}
	}
	return begin, found
}
