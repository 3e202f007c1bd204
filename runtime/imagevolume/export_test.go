package imagevolume

// SubPath is tested by itself: a client chooses it.
var SubPath = subPath
