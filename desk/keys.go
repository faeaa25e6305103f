package desk

import (
	"uml/fault"
	"uml/request"
)

// keys shows or changes the account's authorized_keys.
func (k *ask) keys() (outcome, error) {
	if !k.d.keys {
		return outcome{}, fault.Permanent("keys are the host's administrator's to change here")
	}
	done, err := k.d.busy.begin(k.a.real+"/.ssh", "a change of keys")
	if err != nil {
		return outcome{}, err
	}
	defer done()
	all, err := readKeys(k.a.dir)
	if err != nil {
		return outcome{}, err
	}
	var text string
	switch k.r.Act {
	case request.Keys:
		return outcome{answer: request.Answer{Text: all.show()}}, nil
	case request.AddKey:
		text, err = all.add(k.r.Line)
	case request.DropKey:
		text, err = all.drop(k.r.Line)
	}
	if err == nil {
		err = all.write(k.a.dir)
	}
	return outcome{answer: request.Answer{Text: text}, note: text}, err
}
