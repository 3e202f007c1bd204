// Package wholefile writes small files of state that a process may be killed
// at any instant of writing.
package wholefile

import "os"

// Draft is what the name of a file ends with until it is whole.
const Draft = ".new"

// Write makes path have the content, with mode 0600. Whoever reads it, also
// after this process was killed, finds what was there before or all of the new content; a
// draft may be left beside it, which the next Write replaces. It is not synced:
// it is for what need not survive a crash of the machine.
func Write(path string, content []byte) error {
	if err := os.WriteFile(path+Draft, content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+Draft, path)
}
