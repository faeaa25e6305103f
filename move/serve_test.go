package move

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"

	"uml/estate"
	"uml/wire"
)

// talk is what a server answers to bytes, on a host where nothing can be made: its machines root
// is somebody else's.
func talk(t testing.TB, b []byte) (said []byte, err error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Serve(t.Context(), estate.Options{Machines: dir, HostDir: dir, Out: io.Discard, Say: func(string) {}}, bytes.NewReader(b), &out)
	if all, _ := os.ReadDir(dir); len(all) > 0 {
		t.Fatalf("%q has made %s", b, all[0].Name())
	}
	return out.Bytes(), err
}

func frame(kind byte, text string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(text)))
	return append(b, text...)
}

const ours = `{"protocol":1,"version":"test","host":"there","self":"x"}`

// Whatever comes, a server answers, or ends with one clear error.
func TestServe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		text []byte
		want string // in the error, or in what is answered
	}{
		{"nothing", nil, "EOF"},
		{"a terminal", []byte("ls -l\n"), "too long"},
		{"another version", frame('H', `{"protocol":7,"version":"9.0","host":"there"}`), "there speaks protocol 7 (uml-machine 9.0), and this is 1"},
		{"no request", append(frame('H', ours), frame('D', "x")...), "where a request should be"},
		{"an unknown request", append(frame('H', ours), frame('Q', `{"do":"format"}`)...), `\"format\" is no request`},
		{"an offer of nothing", append(frame('H', ours), frame('Q', `{"do":"offer"}`)...), "an offer without a passport"},
		{"an offer of what is no machine", append(frame('H', ours), frame('Q', `{"do":"offer","passport":{"move":"00112233445566778899aabbccddeeff","name":"../x"}}`)...), "is no machine name"},
		{"an offer of a file outside", append(frame('H', ours), frame('Q', `{"do":"offer","passport":{"move":"00112233445566778899aabbccddeeff","name":"x","files":[{"name":"../../etc/shadow"}]}}`)...), "is no name of a file in a jail"},
		{"an offer that nobody may make", append(frame('H', ours), frame('Q', `{"do":"offer","passport":{"move":"00112233445566778899aabbccddeeff","name":"x","account":"x"}}`)...), "others than root can change it"},
		{"ready before anything", append(frame('H', ours), frame('Q', `{"do":"ready"}`)...), "before a pass was compared"},
		{"a pass before an offer", append(frame('H', ours), frame('Q', `{"do":"pass"}`)...), "a pass before an offer"},
		{"sums of nothing", append(frame('H', ours), frame('Q', `{"do":"sums","file":3}`)...), "no file that is wanted"},
	} {
		said, err := talk(t, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			if !strings.Contains(string(said), c.want) {
				t.Errorf("%s: %v\n%q\nwant %q", c.name, err, said, c.want)
			}
		}
	}
}

func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"do":"offer","passport":{"move":"00112233445566778899aabbccddeeff","name":"x","account":"x","settings":{"ubd0":"ubd0,/a"},"files":[{"name":"ubd0","size":1}],"bases":[{"setting":"ubd0","path":"/a","sha256":"x"}]}}`), byte('Q'))
	f.Add([]byte(`{"do":"take","name":"x","move":"y"}`), byte('Q'))
	f.Add([]byte(`{"do":"drop","name":"x","move":"../x"}`), byte('Q'))
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		if len(b) > wire.Most {
			return
		}
		talk(t, append(frame('H', ours), frame(kind, string(b))...))
	})
}
