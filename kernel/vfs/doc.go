// Package vfs answers what a kernel had open and mounted when it died: the files of a task,
// the mounts of its namespace, the devices. It needs the kernel's types, which kernel.Types
// has, and follows their members by name: 2.6.32 to 7.2.
//
//	task -> files -> fdt -> fd[n] -> file -> dentry -> inode
//	     -> fs    -> root, pwd
//	     -> nsproxy -> mnt_ns -> root mount -> mounts below it -> super_block
package vfs
