package radvd

import "strings"

// interfaces are those that a text configures, as radvd 2.19's scanner.l reads it:
// words in any case, comments to the end of the line.
func interfaces(text string) map[string]bool {
	all := map[string]bool{}
	last := ""
	for word := range words(text) {
		if strings.EqualFold(last, "interface") {
			all[strings.Trim(word, `"`)] = true
		}
		last = word
	}
	return all
}

func words(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			for _, w := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n{};/", r) }) {
				if w[0] == '#' {
					break // one within a word is part of it
				}
				if !yield(w) {
					return
				}
			}
		}
	}
}

// reserved are the words of radvd 2.20 that an interface's name could be as well.
var reserved = " interface prefix route rdnss dnssl clients lowpanco abro nat64prefix advrasrcaddress" +
	" ignoreifmissing advsendadvert advmanagedflag advlinkmtu advramtu advretranstimer advcurhoplimit removeadvonexit" +
	" advonlink advautonomous deprecateprefix advrouteraddr advintervalopt unicastonly base6interface" +
	" removeroute advrdnssopen flushrdnss flushdnssl advcontextid advlifetime advversionlow" +
	" advversionhigh adv6lbraddress infinity on off low medium high "

// tellable says whether radvd takes an interface's name for one: a number is none,
// nor is a word of its own.
func tellable(name string) bool {
	n := strings.ToLower(name)
	return strings.Trim(n, "0123456789.") != "" &&
		strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789._-") == "" &&
		!strings.Contains(reserved, " "+n+" ")
}
