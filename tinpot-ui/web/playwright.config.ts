import { defineConfig } from "@playwright/test";

// Uses an installed Chromium: nothing is downloaded, and no request leaves the machine.
export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  // Each file starts its own server. `npm run bench` measures times, not these tests.
  workers: 2,
  retries: 0,
  // Generous, because it costs nothing if all is well.
  timeout: 180_000,
  expect: { timeout: 30_000 },
  reporter: [["list"]],
  use: {
    viewport: { width: 1280, height: 800 },
    screenshot: "only-on-failure",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--disable-quic",
        // A name of this machine that is not a secure origin, like servers in a local network.
        "--host-resolver-rules=MAP plain.test 127.0.0.1",
      ],
    },
  },
});
