module tinpot.dev/worker

go 1.24.0

require (
	github.com/eclipse/paho.golang v0.23.0
	golang.org/x/crypto v0.45.0
)

require (
	github.com/gorilla/websocket v1.5.3 // indirect
	golang.org/x/net v0.47.0 // indirect
	golang.org/x/sys v0.38.0 // indirect
)
