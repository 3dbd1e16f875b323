package host

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Space is the file system at a path, as statfs(2) has it.
type Space struct {
	Bytes, Free        uint64 // Free is what users other than root can have
	Inodes, FreeInodes uint64 // both 0: the file system does not count them
	ReadOnly, NoExec   bool   // how it is mounted
	Type               FileSystem
}

// FileSystem is the number that statfs(2) has for a type of file system.
type FileSystem int64

// File systems on which something does not work, and one that loses everything
// in a restart.
const (
	Tmpfs FileSystem = unix.TMPFS_MAGIC
	FAT   FileSystem = unix.MSDOS_SUPER_MAGIC
	ExFAT FileSystem = unix.EXFAT_SUPER_MAGIC
	NFS   FileSystem = unix.NFS_SUPER_MAGIC
	SMB   FileSystem = unix.SMB_SUPER_MAGIC
	CIFS  FileSystem = unix.CIFS_SUPER_MAGIC
	SMB2  FileSystem = unix.SMB2_SUPER_MAGIC
)

// Bits of f_flags: statfs(2).
const (
	mountReadOnly = 0x1
	mountNoExec   = 0x8
)

func (local) Statfs(path string) (Space, error) {
	if err := ValidPath(path); err != nil {
		return Space{}, err
	}
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Space{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	block := uint64(s.Frsize)
	return Space{
		Bytes: s.Blocks * block, Free: s.Bavail * block, Inodes: s.Files, FreeInodes: s.Ffree,
		ReadOnly: s.Flags&mountReadOnly != 0, NoExec: s.Flags&mountNoExec != 0,
		Type: FileSystem(s.Type),
	}, nil
}

func (local) ReadLink(path string) (string, error) {
	if err := ValidPath(path); err != nil {
		return "", fmt.Errorf("reading a link: %w", err)
	}
	return os.Readlink(path)
}
