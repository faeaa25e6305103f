package estate

import (
	"context"
	"errors"
)

var ErrLeft = errors.New("left")

type Removal struct {
	KeepDiscs bool
	Sure      func(string) (bool, error)
}

func Copy(ctx context.Context, o Options, from string, s Spec) (*Report, error) { return nil, errors.New("no") }
func Rename(ctx context.Context, o Options, from, to string) error { return errors.New("no") }
func Remove(ctx context.Context, o Options, name string, r Removal) error { return errors.New("no") }
