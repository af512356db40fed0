// Package packages holds what makes releases: the script that builds one, and
// the description of the packages. Its test builds a release, installs it on a
// machine of its own and runs a night there under systemd.
package packages
