// Nnp prints its effective user id. Its file is set-user-id root in the image,
// so that the number tells whether the process may gain privileges.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Printf("Effective uid: %d\n", os.Geteuid())
}
