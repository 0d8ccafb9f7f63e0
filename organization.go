package signalbox

// Organization is what holds for all projects of a server.
type Organization struct {
	Initialization Initialization
}
