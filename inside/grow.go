package inside

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// grow makes the filesystem as large as its device, while it is mounted, as resize2fs,
// xfs_growfs and btrfs do. One that is as large already stays as it is.
func grow(device, kind string) error {
	f, err := os.Open(root)
	if err != nil {
		return err
	}
	defer f.Close()
	bytes, err := size(device)
	if err != nil {
		return err
	}
	switch kind {
	case "ext2", "ext3", "ext4":
		return growExt(f, bytes)
	case "xfs":
		return growXFS(f, bytes)
	case "btrfs":
		return growBtrfs(f)
	}
	return fault.Permanent("%s: it is not known how such a one is grown", kind)
}

// Of fs/ext4/ext4.h and fs/xfs/libxfs/xfs_fs.h, include/uapi/linux/btrfs.h.
const (
	ext4ResizeFS  = 0x40086610 // _IOW('f', 16, __u64)
	xfsGrowData   = 0x4010586e // _IOW('X', 110, struct xfs_growfs_data)
	xfsGeometryV1 = 0x80705864 // _IOR('X', 100, struct xfs_fsop_geom_v1)
	btrfsResize   = 0x50009403 // _IOW(0x94, 3, struct btrfs_ioctl_vol_args)
)

func growExt(f *os.File, bytes uint64) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return err
	}
	blocks := bytes / uint64(fs.Bsize)
	return ioctl(f, ext4ResizeFS, unsafe.Pointer(&blocks))
}

func growXFS(f *os.File, bytes uint64) error {
	var geometry struct { // the part of it that is needed
		blocksize  uint32
		_          [6]uint32
		maxPercent uint32
		_          [10]uint64
	}
	if err := ioctl(f, xfsGeometryV1, unsafe.Pointer(&geometry)); err != nil {
		return err
	}
	to := struct {
		blocks     uint64
		maxPercent uint32
		_          uint32
	}{blocks: bytes / uint64(geometry.blocksize), maxPercent: geometry.maxPercent}
	return ioctl(f, xfsGrowData, unsafe.Pointer(&to))
}

func growBtrfs(f *os.File) error {
	var to struct {
		fd   int64
		name [4088]byte
	}
	copy(to.name[:], "max")
	return ioctl(f, btrfsResize, unsafe.Pointer(&to))
}

func ioctl(f *os.File, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// size is a disc's, bytes.
func size(device string) (bytes uint64, err error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	err = ioctl(f, unix.BLKGETSIZE64, unsafe.Pointer(&bytes))
	return bytes, err
}
