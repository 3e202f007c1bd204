package imagevolume

// What clients and the machine decide is tested by itself.
var (
	SubPath  = subPath
	ReadOnly = readOnly
)
