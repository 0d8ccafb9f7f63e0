// Package web makes the pages that people look at: sign-in, projects, workflows with their block graph, jobs with their
// logs, and agents. Pages are HTML made on the server and work without scripts; the scripts only keep an open page
// fresh. It reads the store and asks others, through small interfaces, to do things.
package web
