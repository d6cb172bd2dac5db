package check

type dumps struct{}

func (d *dumps) carry(m *Mesh) *dumps { return nil }
