package flatten

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"uml/fault"
)

// made is an image of layers, each of which is an archive.
func made(t *testing.T, layers ...[]byte) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for _, text := range layers {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// saved is as docker save has it.
func saved(t *testing.T, img v1.Image) []byte {
	t.Helper()
	tag, err := name.NewTag("example/x:1")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tarball.Write(tag, img, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// laidOut is an archive of an OCI image layout. change may change a file's content.
func laidOut(t *testing.T, img v1.Image, change func(name string, text []byte) []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	p, err := ocilayout.Write(dir, empty.Index)
	if err == nil {
		err = p.AppendImage(img)
	}
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err = filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, file)
		if change != nil {
			if text = change(rel, text); text == nil {
				return nil
			}
		}
		if err := w.WriteHeader(&tar.Header{Name: "./" + rel, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.Bytes()
}

func names(t *testing.T, f *os.File) (all []string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(content(t, f))); ; {
		h, err := r.Next()
		if err == io.EOF {
			slices.Sort(all)
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.Name)
	}
}

// Layers are put above one another, with what the upper ones say is gone.
func TestImage(t *testing.T) {
	img := made(t, plain(t, "etc/a", "etc/b", "old/x", "old/y"), plain(t, "etc/.wh.b", "old/.wh..wh..opq", "old/z"), plain(t, "etc/a"))
	for kind, text := range map[string][]byte{"docker save": saved(t, img), "OCI": laidOut(t, img, nil), "gzip": gz(saved(t, img))} {
		f, err := Archive(t.Context(), options(t, mib), written(t, text), temps(t))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got := strings.Join(names(t, f), " "); got != "etc/a old/z" {
			t.Errorf("%s: got %s", kind, got)
		}
	}
}

func TestImageRefuses(t *testing.T) {
	img := made(t, plain(t, "etc/a"), plain(t, "etc/b"))
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, layer := manifest.Config.Digest.Hex, manifest.Layers[0].Digest.Hex
	swap := func(hex string, with []byte) func(string, []byte) []byte {
		return func(name string, text []byte) []byte {
			if filepath.Base(name) == hex {
				return with
			}
			return text
		}
	}
	// A manifest and its digests are right here, and the layers are others than the configuration says.
	lies, err := mutate.ConfigFile(img, &v1.ConfigFile{RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{manifest.Layers[0].Digest, manifest.Layers[1].Digest}}, OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	few, err := mutate.ConfigFile(img, &v1.ConfigFile{RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{manifest.Layers[0].Digest}}})
	if err != nil {
		t.Fatal(err)
	}
	plainSaved := saved(t, img)
	for want, text := range map[string][]byte{
		"was changed or damaged":     laidOut(t, img, swap(layer, gz(plain(t, "etc/evil")))),
		"was changed or damaged ":    laidOut(t, img, swap(config, []byte("{}"))),
		"the configuration says":     laidOut(t, lies, nil),
		"has 2 layers, and its conf": laidOut(t, few, nil),
		"is not in the archive":      laidOut(t, img, swap(layer, nil)),
		"more than 1 MiB":            laidOut(t, made(t, make([]byte, 8*mib)), nil),
		"more than 1 MiB ":           saved(t, made(t, make([]byte, 8*mib))),
		"was changed or damaged  ":   bytes.Replace(plainSaved, []byte(`"rootfs"`), []byte(`"r00tfs"`), 1),
		"unsafe tar path":            saved(t, made(t, plain(t, "../../etc/passwd"))),
		"unexpected EOF":             plainSaved[:700],
	} {
		f, err := Archive(t.Context(), options(t, mib), written(t, text), temps(t))
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) || fault.Code(err) != fault.MustMend {
			t.Errorf("want %q: got %v, %v", want, f, err)
		}
	}
}

func FuzzImage(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":3,"digest":"sha256:00"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		at := func(b []byte) *io.SectionReader { return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))) }
		img, err := ociImage(map[string]*io.SectionReader{"index.json": at(raw), "oci-layout": at(nil)})
		if err == nil {
			t.Errorf("%q is an image of no blobs: %v", raw, img)
		}
	})
}
