package kernel

// Roots is the table of variables and their types.
func Roots() map[string]string { return roots }
