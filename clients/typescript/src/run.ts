// Runs an action with a client that is generated from the description of the API:
// node dist/run.js greet '{"name": "Ada"}'
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [action = "greet", text = "{}"] = process.argv.slice(2);
const parameters = JSON.parse(text) as Record<string, unknown>;
const token = process.env.TINPOT_TOKEN;
const client = createClient<paths>({
  baseUrl: process.env.TINPOT_SERVER ?? "http://127.0.0.1:8000",
  headers: token ? { Authorization: `Bearer ${token}` } : {},
});

const { data, error } = await client.POST("/api/actions/{name}/sync_execute", {
  params: { path: { name: action }, query: { timeout: 30 } },
  body: { parameters },
});
if (error) {
  console.error(error.detail);
  process.exitCode = 2;
} else {
  console.log(JSON.stringify({ status: data.status, result: data.result, error: data.error }));
  process.exitCode = data.status === "SUCCESS" ? 0 : 1;
}
