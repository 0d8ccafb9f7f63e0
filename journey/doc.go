// Package journey holds tests that go the ways of people through the pages: a real browser, the program as a process, real
// agents and real git. Each test is named after the journey that it goes. There is no code but tests.
package journey
