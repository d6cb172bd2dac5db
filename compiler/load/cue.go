package load

// cuePackages evaluates the CUE packages and plain CUE files.
func (l *loader) cuePackages([]*file) {}
