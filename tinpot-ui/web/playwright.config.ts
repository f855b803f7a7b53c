import { defineConfig } from "@playwright/test";

// Debian's Chromium, as it is: nothing is downloaded, and nothing leaves this machine.
export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  // Every file starts a server of its own. Times are not taken here: that is what `npm run bench` is for.
  workers: 2,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 10_000 },
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
        // A name for this machine that is no secure origin, as servers in a local network are reached.
        "--host-resolver-rules=MAP plain.test 127.0.0.1",
      ],
    },
  },
});
