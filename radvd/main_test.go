package radvd

import (
	"testing"

	"uml/test/apart"
)

func TestMain(m *testing.M) { apart.Main(m) }
