// Runs an action with a client that is generated from the description of the API:
// go run . greet '{"name": "Ada"}'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"

	"tinpot.dev/client-example/tinpot"
)

func main() {
	log.SetFlags(0)
	action, text := "greet", "{}"
	if len(os.Args) > 1 {
		action = os.Args[1]
	}
	if len(os.Args) > 2 {
		text = os.Args[2]
	}
	var body tinpot.Submission
	if err := json.Unmarshal([]byte(`{"parameters": `+text+`}`), &body); err != nil {
		log.Fatal(err)
	}
	server := os.Getenv("TINPOT_SERVER")
	if server == "" {
		server = "http://127.0.0.1:8000"
	}
	client, err := tinpot.NewClientWithResponses(server, tinpot.WithRequestEditorFn(authorize))
	if err != nil {
		log.Fatal(err)
	}
	timeout := 30.0
	params := tinpot.ActionsSyncExecuteParams{Timeout: &timeout}
	ran, err := client.ActionsSyncExecuteWithResponse(context.Background(), action, &params, body)
	if err != nil {
		log.Fatal(err)
	}
	if ran.JSON200 == nil {
		log.Print(string(ran.Body))
		os.Exit(2)
	}
	end := map[string]any{"status": ran.JSON200.Status, "result": ran.JSON200.Result, "error": ran.JSON200.Error}
	shown, err := json.Marshal(end)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(shown))
	if ran.JSON200.Status != tinpot.SUCCESS {
		os.Exit(1)
	}
}

func authorize(_ context.Context, request *http.Request) error {
	if token := os.Getenv("TINPOT_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return nil
}
