package flatten

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"uml/fault"
)

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// image flattens an archive that is an OCI image, by skopeo or docker save, and returns any
// other as it is.
func (o Options) image(ctx context.Context, f *os.File, temp func() (*os.File, error)) (*os.File, error) {
	files, err := index(f)
	if err != nil {
		return nil, err
	}
	var img v1.Image
	switch {
	case files["oci-layout"] != nil && files["index.json"] != nil:
		img, err = ociImage(files)
	case files["manifest.json"] != nil && isSaved(files["manifest.json"]):
		img, err = savedImage(f, files)
	default:
		return f, nil
	}
	if err != nil {
		return nil, fault.Permanent("image: %w", err)
	}
	if err := o.verify(ctx, img); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	out, err := temp()
	if err != nil {
		return nil, err
	}
	w := o.output(ctx, out)
	layers := mutate.Extract(img)
	_, err = io.CopyBuffer(onlyWriter{w}, onlyReader{layers}, make([]byte, 1<<20))
	layers.Close()
	if err == nil {
		err = w.end()
	}
	if err != nil {
		out.Close()
		return nil, wrong(ctx, err)
	}
	return out, nil
}

// maxText bounds a manifest or a configuration.
const maxText = 8 << 20

func text(r *io.SectionReader) ([]byte, error) {
	if r == nil {
		return nil, fault.Permanent("is not in the archive")
	}
	if r.Size() > maxText {
		return nil, fault.Permanent("is larger than %d bytes", maxText)
	}
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

// A layout is an OCI image layout (image-layout.md) in an archive: blobs by their digests.
type layout struct {
	files  map[string]*io.SectionReader
	raw    []byte // of the manifest
	kind   types.MediaType
	config []byte
	parsed *v1.Manifest
}

// blob is the file of a digest, once it is certain that it has it.
func (l *layout) blob(h v1.Hash) (*io.SectionReader, error) {
	name := "blobs/" + h.Algorithm + "/" + h.Hex
	r := l.files[name]
	if r == nil || h.Algorithm != "sha256" {
		return nil, fault.Permanent("%s: is not in the archive", name)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, r.Size())); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != h.Hex {
		return nil, fault.SourceBad.Permanent("%s: has the digest %s: it was changed or damaged", name, got)
	}
	return io.NewSectionReader(r, 0, r.Size()), nil
}

func (l *layout) text(h v1.Hash) ([]byte, error) {
	r, err := l.blob(h)
	if err != nil {
		return nil, err
	}
	return text(r)
}

// maxNested: an index names indexes, and these images.
const maxNested = 4

func ociImage(files map[string]*io.SectionReader) (v1.Image, error) {
	raw, err := text(files["index.json"])
	if err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	l := &layout{files: files}
	for range maxNested {
		list, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		d, err := choose(list.Manifests)
		if err != nil {
			return nil, err
		}
		if raw, err = l.text(d.Digest); err != nil {
			return nil, err
		}
		if !d.MediaType.IsIndex() {
			l.raw, l.kind = raw, d.MediaType
			return l.image()
		}
	}
	return nil, fault.Permanent("its index names no image within %d steps", maxNested)
}

// choose takes the image for this host's processor.
func choose(all []v1.Descriptor) (d v1.Descriptor, err error) {
	var fit []v1.Descriptor
	var others []string
	for _, d := range all {
		if p := d.Platform; p != nil && (p.OS != "linux" || p.Architecture != runtime.GOARCH) {
			others = append(others, p.OS+"/"+p.Architecture)
			continue
		}
		fit = append(fit, d)
	}
	switch {
	case len(fit) == 0:
		return d, fault.Permanent("has nothing for linux/%s (but for %s)", runtime.GOARCH, strings.Join(others, ", "))
	case len(fit) > 1:
		return d, fault.Permanent("has %d images for linux/%s, and should have one", len(fit), runtime.GOARCH)
	}
	return fit[0], nil
}

func (l *layout) image() (v1.Image, error) {
	var err error
	if l.parsed, err = v1.ParseManifest(bytes.NewReader(l.raw)); err != nil {
		return nil, err
	}
	if l.config, err = l.text(l.parsed.Config.Digest); err != nil {
		return nil, err
	}
	return partial.CompressedToImage(l)
}

// RawManifest, RawConfigFile, MediaType and LayerByDigest are of partial.CompressedImageCore.
func (l *layout) RawManifest() ([]byte, error)        { return l.raw, nil }
func (l *layout) RawConfigFile() ([]byte, error)      { return l.config, nil }
func (l *layout) MediaType() (types.MediaType, error) { return l.kind, nil }
func (l *layout) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range l.parsed.Layers {
		if d.Digest == h {
			return &layer{l, d}, nil
		}
	}
	return nil, fault.Permanent("its manifest has no layer %v", h)
}

// A layer is one blob.
type layer struct {
	l *layout
	v1.Descriptor
}

// Digest, Size, MediaType and Compressed are of partial.CompressedLayer.
func (l *layer) Digest() (v1.Hash, error)            { return l.Descriptor.Digest, nil }
func (l *layer) Size() (int64, error)                { return l.Descriptor.Size, nil }
func (l *layer) MediaType() (types.MediaType, error) { return l.Descriptor.MediaType, nil }
func (l *layer) Compressed() (io.ReadCloser, error) {
	r, err := l.l.blob(l.Descriptor.Digest)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(r), nil
}

func isSaved(manifest *io.SectionReader) bool {
	raw, err := text(manifest)
	return err == nil && bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) && bytes.Contains(raw, []byte(`"Layers"`))
}

// savedImage is what docker save made.
func savedImage(f *os.File, files map[string]*io.SectionReader) (v1.Image, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(f, 0, st.Size())), nil }
	all, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fault.Permanent("the archive has %d images, and should have one (docker save of one name)", len(all))
	}
	config := clean(all[0].Config)
	raw, err := text(files[config])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	// The configuration's name is its digest, and it has those of the layers.
	sum := sha256.Sum256(raw)
	if want := strings.TrimPrefix(strings.TrimSuffix(path.Base(config), ".json"), "sha256:"); want != hex.EncodeToString(sum[:]) {
		return nil, fault.SourceBad.Permanent("%s: has the digest %x: it was changed or damaged", config, sum)
	}
	return tarball.Image(open, nil)
}

// maxEntries bounds how many names of an image are kept in the host's memory when layers
// are put above one another.
const maxEntries = 2_000_000

// verify reads all layers, and believes none whose content is another than the configuration
// says.
func (o Options) verify(ctx context.Context, img v1.Image) error {
	config, err := img.ConfigFile()
	if err != nil {
		return fault.Permanent("configuration: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return fault.Permanent("layers: %w", err)
	}
	if len(layers) != len(config.RootFS.DiffIDs) {
		return fault.Permanent("has %d layers, and its configuration digests of %d", len(layers), len(config.RootFS.DiffIDs))
	}
	budget := counter{ctx: ctx, limit: o.Limit}
	for i, l := range layers {
		if err := budget.layer(l, config.RootFS.DiffIDs[i]); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, wrong(ctx, err))
		}
	}
	return nil
}

// A counter bounds all layers together, and digests each.
type counter struct {
	ctx     context.Context //nolint:containedctx // as in output
	bytes   int64
	limit   int64
	entries int
	sum     hash.Hash
}

// Write is of package io.
func (c *counter) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	if c.bytes += int64(len(b)); c.bytes > c.limit {
		return 0, fault.NoRoom.Permanent("the layers are more than %d MiB, which the template is to be (make it larger: --size)", c.limit>>20)
	}
	return c.sum.Write(b)
}

func (c *counter) layer(l v1.Layer, want v1.Hash) error {
	in, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer in.Close()
	c.sum = sha256.New()
	all := io.TeeReader(in, c)
	for r := tar.NewReader(all); ; c.entries++ {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if c.entries > maxEntries {
			return fault.Permanent("the image has more than %d files", maxEntries)
		}
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return err
	}
	if got := hex.EncodeToString(c.sum.Sum(nil)); want.Algorithm != "sha256" || got != want.Hex {
		return fault.SourceBad.Permanent("has the digest sha256:%s, and the configuration says %v: it was changed or damaged", got, want)
	}
	return nil
}
