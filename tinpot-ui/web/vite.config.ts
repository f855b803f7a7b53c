import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// The server serves the files of `dist/` below `ui/` and writes the path of its mount into
// `<base href="./">`. The development server does not, and deep links need an absolute base.
function page(): Plugin {
  let serving = false;
  return {
    name: "tinpot-page",
    configResolved(config) {
      serving = config.command === "serve";
    },
    transformIndexHtml: {
      order: "post",
      handler(html) {
        if (serving) return html.replace('<base href="./">', '<base href="/">');
        return html
          .replace(/(src|href)="\.\/(app\.(?:js|css))"/g, '$1="ui/$2"')
          .replace(/ crossorigin/g, "")
          .replace("</title>", '</title>\n    <link rel="icon" href="ui/icon.svg">');
      },
    },
  };
}

/** Returns a hash of the sources of the shared worker: pages of other versions do not join it. */
function streamBuild(): string {
  const folder = new URL("src/stream/", import.meta.url);
  const hash = createHash("sha256");
  for (const name of readdirSync(folder).sort())
    if (!name.includes(".test.")) hash.update(readFileSync(new URL(name, folder)));
  return hash.digest("hex").slice(0, 8);
}

/** Returns the name of a chunk or of its styles; of a folder's `index.tsx`, the folder gives it. */
function named(name: string, modules: readonly string[]): string {
  // What the pages of executions share is the viewer of logs for the most part.
  if (modules.some((id) => id.endsWith("/log/viewer.tsx"))) return "log";
  const index = modules.find((id) => id.endsWith("/index.tsx"));
  return name === "index" && index !== undefined ? basename(dirname(index)) : name;
}

export default defineConfig({
  base: "./",
  plugins: [page()],
  define: { __STREAM_BUILD__: JSON.stringify(streamBuild()) },
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: {
      input: { app: "index.html", "stream-worker": "src/stream/worker.ts" },
      output: {
        entryFileNames: "[name].js",
        // Browsers keep the files in `chunks/`: another content has another name.
        chunkFileNames: ({ name, moduleIds }) => `chunks/${named(name, moduleIds)}-[hash].js`,
        assetFileNames: ({ names: [name = ""], originalFileNames }) =>
          name === "app.css"
            ? name
            : `chunks/${named(basename(name, ".css"), originalFileNames)}-[hash][extname]`,
        // Smaller ones join others: each is a request.
        experimentalMinChunkSize: 4_000,
      },
    },
  },
  server: {
    proxy: {
      // The server to develop against: TINPOT_SERVER=http://127.0.0.1:PORT npm run dev
      "/api": { target: process.env.TINPOT_SERVER ?? "http://127.0.0.1:8000" },
      "/openapi.json": { target: process.env.TINPOT_SERVER ?? "http://127.0.0.1:8000" },
    },
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}", "tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    setupFiles: ["tests/setup.ts"],
    // Times in forms depend on the zone; this one has summer time.
    env: { TZ: "Europe/Berlin" },
  },
});
