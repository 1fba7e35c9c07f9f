//go:build !amd64 || purego || noasm

package codec

// WithoutAssembly has Go decode what f decodes: there is nothing else.
func WithoutAssembly(f func()) { f() }
