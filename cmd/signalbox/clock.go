package main

import "time"

// now is the server's clock; nil is the system's. Only a build with the tag wrongclock has another one, for tests.
var now func() time.Time
