// The command conformance is a worker with the actions that the suites call.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	tinpot "tinpot.dev/worker"
)

func identity(broker, name string) (*tinpot.Identity, error) {
	file := os.Getenv("TINPOT_JOIN_TOKEN_FILE")
	if file == "" {
		return nil, nil
	}
	if _, err := os.Stat("worker.key"); err == nil {
		return tinpot.LoadIdentity("worker.key")
	}
	token, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	joined, err := tinpot.Join(ctx, broker, string(token), "tinpot", name)
	if err != nil {
		return nil, err
	}
	return joined, joined.Save("worker.key")
}

func run() error {
	broker, name := os.Getenv("MQTT_BROKER"), os.Getenv("WORKER_NAME")
	slots, err := strconv.Atoi(os.Getenv("CONCURRENCY"))
	if err != nil {
		return err
	}
	joined, err := identity(broker, name)
	if err != nil {
		return err
	}
	var calls atomic.Int64
	sleep := tinpot.Typed(func(ctx *tinpot.Context, p struct{ Seconds float64 }) (any, error) {
		select {
		case <-time.After(time.Duration(p.Seconds * float64(time.Second))):
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	worker, err := tinpot.New(tinpot.Config{
		Broker: broker, Name: name, Slots: slots, Identity: joined,
		Actions: []tinpot.Action{
			{Name: "echo", Run: tinpot.Typed(func(_ *tinpot.Context, p struct{ Text string }) (string, error) {
				return p.Text, nil
			})},
			{Name: "count", Run: tinpot.Typed(func(*tinpot.Context, struct{}) (int64, error) {
				return calls.Add(1), nil
			})},
			{Name: "lines", Run: tinpot.Typed(func(ctx *tinpot.Context, p struct{ Count int }) (any, error) {
				for number := range p.Count {
					ctx.Log(slog.LevelInfo, fmt.Sprintf("line %d", number+1), nil)
				}
				return nil, nil
			})},
			{Name: "sleep", Run: sleep},
			{Name: "sleep_briefly", Run: sleep, Timeout: 300 * time.Millisecond},
			{Name: "sleep_retried", Run: sleep, Retry: &tinpot.Retry{Retries: 2, DelayMs: 100}},
			{Name: "fail", Run: tinpot.Typed(func(_ *tinpot.Context, p struct{ Message string }) (any, error) {
				return nil, errors.New(p.Message)
			})},
			{Name: "big", Run: tinpot.Typed(func(_ *tinpot.Context, p struct{ Bytes int }) (string, error) {
				return strings.Repeat("x", p.Bytes), nil
			})},
		},
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return worker.Run(ctx)
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
