// Package storybook shows every page of the web application in every state, with fixed data: for whoever changes a page and wants to see
// it in states that are hard to come by. It makes worlds, which are stores in a temporary folder filled through the store's own
// functions, and answers with the real pages over the world that a story is in. Nothing can be started or changed in it.
package storybook
