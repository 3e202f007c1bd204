package up

// For the tests of this package.
var PrepareRoot = prepareRoot
