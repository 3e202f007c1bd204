package process

// Printable is printable, for its fuzz test.
var Printable = printable
