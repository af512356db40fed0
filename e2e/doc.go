// Package e2e runs whole nights: the three services as processes, on real
// servers, with faults. It holds tests only.
package e2e
