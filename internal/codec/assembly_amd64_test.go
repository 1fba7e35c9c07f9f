//go:build !purego && !noasm

package codec

// WithoutAssembly has Go decode what f decodes.
func WithoutAssembly(f func()) {
	had := hasAssembly
	defer func() { hasAssembly = had }()
	hasAssembly = false
	f()
}
