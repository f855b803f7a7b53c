// Package tinpot is the client of the HTTP API. `go generate ./...` writes it.
package tinpot

//go:generate go tool oapi-codegen -config ../oapi-codegen.yaml -o client.gen.go ../../../docs/openapi.json
