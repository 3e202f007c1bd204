package container

// The pure parts of reading cgroups, for tests.

func CountOf(text, key string) int { return countOf(text, key) }

func IsOwn(dir, id string) bool { return isOwn(dir, id) }
