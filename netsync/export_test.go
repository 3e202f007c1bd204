package main

// Main is the process, for tests that start it.
var Main = main
