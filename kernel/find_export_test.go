package kernel

// FindPerCPUOffsets is what is done for kernels that do not name their data.
func (k *Kernel) FindPerCPUOffsets() []uint64 { return k.findPerCPUOffsets() }
