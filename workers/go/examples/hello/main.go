// The command hello is a worker with one action. Start a coordinator, then this, then
// "tinpot run greet --name Ada".
package main

import (
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"os/signal"
	"syscall"

	tinpot "tinpot.dev/worker"
)

type who struct {
	Name string `json:"name"`
}

func greet(ctx *tinpot.Context, parameters who) (string, error) {
	ctx.Log(slog.LevelInfo, "greeting", map[string]any{"who": parameters.Name})
	return "Hello " + parameters.Name, nil
}

func main() {
	worker, err := tinpot.New(tinpot.Config{
		Broker: "mqtt://localhost:1883", Name: "hello", Slots: 4,
		Actions: []tinpot.Action{{
			Name: "greet", Description: "Greets a person.", Run: tinpot.Typed(greet),
			Schema: json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}`),
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := worker.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
