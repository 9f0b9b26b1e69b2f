package storage_test

import (
	"fmt"
	"syscall"
)

// mountSmall mounts a file system of so many MiB, in memory, which only root may.
func mountSmall(dir string, size int) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", size))
}

func unmount(dir string) error { return syscall.Unmount(dir, 0) }
