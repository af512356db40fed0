// Package night holds the rules of a night's backup: which day it carries,
// where a day begins and ends, how objects are named, what a manifest says and
// when a day is complete. Everything in it is a pure function: no clock, no
// file, no server.
package night
