// Apps: deploys of folders and archives, versions and their differences, and who may do what.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { line, shot, watchErrors } from "./helpers";
import { Account, signIn } from "./people";
import { BINARIES, type Server, standalone, withUsers } from "./servers";

let server: Server;
let guarded: Server;
let root: string;

test.beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "tinpot-e2e-apps-"));
  [server, guarded] = await Promise.all([
    standalone(),
    withUsers({ vic: "viewer", olga: "operator", dora: "developer" }),
  ]);
});

test.afterAll(async () => {
  await Promise.all([server.stop(), guarded.stop()]);
  rmSync(root, { recursive: true, force: true });
});

/** Writes the folder of an app, with further files. */
function folder(name: string, files: Record<string, string> = {}, label = name): string {
  const at = join(root, label);
  const all = {
    Towerfile: `[app]\nname = "${name}"\nscript = "main.sh"\n\n[[parameters]]\nname = "who"\ndescription = "Name to greet"\ntype = "string"\ndefault = "World"\n`,
    "main.sh": 'echo "Hello, $who!"\n',
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(at, path)), { recursive: true });
    writeFileSync(join(at, path), text);
  }
  return at;
}

function tinpot(...args: string[]): string {
  return execFileSync(join(BINARIES, "tinpot"), args, { encoding: "utf8" });
}

/** Packs a folder with the command. Returns the path of the archive. */
function packed(at: string): string {
  const archive = `${at}.tar.gz`;
  tinpot("pack", at, "--output", archive);
  return archive;
}

/** Deploys a folder with requests, for tests about what comes later. */
function deployed(at: string, url = server.url): void {
  tinpot("deploy", at, "--server", url);
}

async function choose(page: Page, kind: "Folder" | "Archive", path: string): Promise<void> {
  await page.getByLabel(`${kind} of the app`).setInputFiles(path);
}

const dialog = (page: Page) => page.getByRole("dialog");
const row = (page: Page, version: number) =>
  page.locator(".records tbody tr").filter({
    has: page.locator("td.main-cell strong", { hasText: new RegExp(`^${version}$`) }),
  });

async function command(page: Page, version: number, name: string | RegExp): Promise<void> {
  await row(page, version)
    .getByRole("button", { name: `Version ${version}` })
    .click();
  await page.getByRole("menuitem", { name }).click();
}

test("a folder is packed as the command packs it, deployed, run, changed and rolled back", async ({
  page,
}) => {
  const errors = watchErrors(page);
  const at = folder("greeter", {
    ".tinpotignore": "*.log\nbuild/\n",
    "debug.log": "x",
    "build/out": "x",
    ".git/config": "x",
    "lib/é.txt": "x".repeat(70_000),
    [`${"deep/".repeat(25)}${"n".repeat(120)}.txt`]: "long path",
  });
  await page.goto(`${server.url}/apps`);
  await expect(page.getByText("No apps yet")).toBeVisible();
  await shot(page, "apps-none");
  await choose(page, "Folder", at);
  await expect(dialog(page)).toContainText(
    /4 files, 70\.\d kB; 4 other files of the folder left out/,
  );
  await shot(page, "apps-deploy");
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await expect(dialog(page)).toContainText("Version 1 is active.");
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await expect(page).toHaveURL(`${server.url}/apps/greeter`);
  await expect(row(page, 1)).toContainText("active");
  const version = (await (await fetch(`${server.url}/api/apps/greeter/versions/1`)).json()) as {
    content: string;
  };
  expect(version.content).toBe(
    (JSON.parse(tinpot("pack", at, "--json")) as typeof version).content,
  );

  // The same files are no new version, and are not uploaded.
  let uploads = 0;
  page.on("request", (request) => {
    if (request.method() === "PUT") uploads += 1;
  });
  await choose(page, "Folder", at);
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await expect(dialog(page)).toContainText("Nothing has changed: version 1 has the same files.");
  await dialog(page).getByRole("button", { name: "Done" }).click();
  expect(uploads).toBe(0);

  await page.getByRole("link", { name: "Run", exact: true }).click();
  await page.locator("#p-who").fill("Ada");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await expect(line(page, "Hello, Ada!")).toBeVisible({ timeout: 30_000 });
  await expect(page.locator(".execution-facts")).toContainText("App version1");
  await page.goto(`${server.url}/executions?action=greeter`);
  await expect(page.locator(".executions tbody tr").first()).toContainText("version 1");

  // Another version, as an archive.
  folder("greeter", { "main.sh": 'echo "Good morning, $who!"\necho done\n' });
  await page.goto(`${server.url}/apps/greeter`);
  await choose(page, "Archive", packed(at));
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await expect(dialog(page)).toContainText("Version 2 is active.");
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await expect(row(page, 2)).toContainText("active");
  await expect(page.locator(".recent")).toContainText("succeeded");
  await shot(page, "app");

  await command(page, 1, "Compare with version 2");
  await expect(page.locator(".file-change")).toHaveCount(1);
  const diff = page.getByRole("region", { name: "Changes of main.sh" });
  await expect(diff.locator("tr[data-kind=removed]")).toContainText("Hello, $who!");
  await expect(diff.locator("tr[data-kind=added]").first()).toContainText("Good morning");
  await shot(page, "app-compare");
  await page.getByRole("button", { name: "Swap the versions" }).click();
  await expect(diff.locator("tr[data-kind=added]")).toContainText("Hello, $who!");
  await page.getByRole("link", { name: "greeter" }).click();

  await command(page, 1, "Roll back…");
  const ask = page.getByRole("dialog", { name: "Roll back greeter from version 2 to 1?" });
  await shot(page, "app-rollback");
  await ask.getByRole("button", { name: "Roll back" }).click();
  await expect(row(page, 1)).toContainText("active");
  await expect(row(page, 2)).not.toContainText("active");
  await command(page, 2, "Activate…");
  await expect(
    page.getByRole("dialog", { name: "Activate version 2 of greeter instead of 1?" }),
  ).toBeVisible();
  await page.getByRole("button", { name: "Cancel" }).click();

  await page.getByRole("button", { name: "App greeter" }).click();
  await page.getByRole("menuitem", { name: "Disable…" }).click();
  await page.getByRole("button", { name: "Disable app" }).click();
  await expect(page.getByText("New runs are refused.")).toBeVisible();
  await expect(page.getByRole("link", { name: "Run", exact: true })).toHaveCount(0);
  await page.getByRole("button", { name: "App greeter" }).click();
  await page.getByRole("menuitem", { name: "Enable…" }).click();
  await expect(dialog(page)).toContainText("New runs use version 1.");
  await page.getByRole("button", { name: "Enable app" }).click();
  await expect(page.getByRole("link", { name: "Run", exact: true })).toBeVisible();
  expect(errors).toEqual([]);
});

test("a program that the app executes is executable, and a version need not be active", async ({
  page,
}) => {
  const at = folder("tool-app", {
    Towerfile: '[app]\nname = "tool-app"\n[tinpot]\nexec = ["./bin/tool"]\n',
    "bin/tool": "#!/bin/sh\necho tool\n",
  });
  chmodSync(join(at, "bin/tool"), 0o755);
  await page.goto(`${server.url}/apps`);
  await choose(page, "Folder", at);
  await dialog(page)
    .getByLabel(/Activate the version/)
    .uncheck();
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await expect(dialog(page)).toContainText("Version 1 is there, and not active.");
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await expect(page.locator(".facts")).toContainText("active version none");
  await command(page, 1, "Files and Towerfile");
  await expect(page.locator(".file-text")).toContainText('exec = ["./bin/tool"]');
  await expect(page.getByRole("row").filter({ hasText: "bin/tool" })).toContainText("executable");
  const { content } = JSON.parse(tinpot("pack", at, "--json")) as { content: string };
  await expect(page.locator(".facts")).toContainText(content.slice(0, 12));
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "Download" }).click(),
  ]);
  expect(download.suggestedFilename()).toBe("tool-app-1.tar.gz");
});

test("what cannot be deployed is refused with the reason of the server", async ({ page }) => {
  const errors = watchErrors(page);
  await page.goto(`${server.url}/apps`);
  const refused = async (kind: "Folder" | "Archive", path: string, text: string | RegExp) => {
    await choose(page, kind, path);
    const submit = dialog(page).getByRole("button", { name: "Deploy" });
    if (kind === "Archive") {
      const app = dialog(page).getByLabel("App");
      if (await app.isVisible()) await app.fill("refused");
      await submit.click();
    }
    await expect(dialog(page).getByRole("alert").first()).toContainText(text);
  };
  const wrong = folder("refused", {
    Towerfile: '[app]\nname = "refused"\nscript = "main.sh"\n[tinpot]\nquue = "x"\n',
  });
  await refused("Folder", wrong, /tinpot\.quue.*did you mean "queue"/);
  await shot(page, "apps-refused");
  await dialog(page).getByRole("button", { name: "Cancel" }).click();

  const missing = folder("refused", { Towerfile: '[app]\nname = "refused"\nscript = "no.sh"\n' });
  await refused("Folder", missing, 'app.script "no.sh" must be a file');
  await dialog(page).getByRole("button", { name: "Cancel" }).click();

  const text = join(root, "text.tar.gz");
  writeFileSync(text, "no archive");
  await refused("Archive", text, /bundle: .*gzip|bundle: .*archive/);
  await dialog(page).getByRole("button", { name: "Cancel" }).click();

  // An archive with a link that leaves it.
  const hostile = folder("hostile");
  symlinkSync("/etc/passwd", join(hostile, "link"));
  execFileSync("tar", ["-czf", `${hostile}.tar.gz`, "-C", hostile, "."]);
  await refused("Archive", `${hostile}.tar.gz`, /link .*must stay in the bundle/);
  await dialog(page).getByRole("button", { name: "Cancel" }).click();

  const none = join(root, "none");
  mkdirSync(none);
  writeFileSync(join(none, "notes.txt"), "");
  await choose(page, "Folder", none);
  await expect(dialog(page)).toContainText(
    "There is no Towerfile and no Python file in the folder: choose the folder of an app, one of Python files with @action functions, or a .tar.gz file.",
  );
  await dialog(page).getByRole("button", { name: "OK" }).click();

  deployed(folder("other-app"));
  deployed(folder("one-app"));
  await page.goto(`${server.url}/apps/one-app`);
  await choose(page, "Folder", join(root, "other-app"));
  await expect(dialog(page).getByRole("alert")).toContainText(
    "The Towerfile is that of other-app, and not of one-app.",
  );
  await expect(dialog(page).getByRole("button", { name: "Deploy" })).toBeDisabled();
  await dialog(page).getByRole("button", { name: "Cancel" }).click();
  await choose(page, "Archive", packed(join(root, "other-app")));
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await expect(dialog(page).getByRole("alert").first()).toContainText('app.name must be "one-app"');
  await dialog(page).getByRole("button", { name: "Cancel" }).click();
  expect(errors).toEqual([]);
});

test("a folder of Python actions is packed as the command packs it, and deployed", async ({
  page,
}) => {
  const errors = watchErrors(page);
  const at = join(root, "py-tools");
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(at, path)), { recursive: true });
    writeFileSync(join(at, path), text);
  };
  const action = "from tinpot import action\n\nfrom helper import times\n\n\n@action\n";
  write("helper.py", "def times(a, b):\n    return a * b\n");
  write("tools.py", `${action}def multiply(a: int, b: int):\n    return times(a, b)\n`);
  write(".tinpotignore", "*.log\n");
  write("debug.log", "x");
  write("__pycache__/tools.cpython-312.pyc", "compiled");
  await page.goto(`${server.url}/apps`);
  await choose(page, "Folder", at);
  await expect(dialog(page)).toContainText("The folder has no Towerfile");
  await expect(dialog(page).getByLabel("App")).toHaveValue("py-tools");
  await shot(page, "apps-deploy-actions");
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await expect(dialog(page)).toContainText("Version 1 is active.", { timeout: 60_000 });
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await expect(page).toHaveURL(`${server.url}/apps/py-tools`);
  const version = (await (await fetch(`${server.url}/api/apps/py-tools/versions/1`)).json()) as {
    content: string;
  };
  const packed = JSON.parse(tinpot("pack", at, "--json")) as typeof version;
  expect(version.content).toBe(packed.content);
  // The command finds the same files, and the action runs.
  expect(tinpot("deploy", at, "--server", server.url)).toContain("unchanged, version 1 is active");
  expect(tinpot("run", "multiply", "--a", "6", "--b", "7", "--server", server.url).trim()).toBe(
    "42",
  );

  // On the page of the app, the name is that of the app.
  write("tools.py", `${action}def multiply(a: int, b: int):\n    return times(b, a)\n`);
  await choose(page, "Folder", at);
  await expect(dialog(page).getByLabel("App")).toHaveCount(0);
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await expect(dialog(page)).toContainText("Version 2 is active.", { timeout: 60_000 });
  await dialog(page).getByRole("button", { name: "Done" }).click();

  const refused = async (text: string, expected: RegExp) => {
    write("tools.py", text);
    await choose(page, "Folder", at);
    await dialog(page).getByRole("button", { name: "Deploy" }).click();
    await expect(dialog(page).getByRole("alert").first()).toContainText(expected, {
      timeout: 60_000,
    });
    await dialog(page).getByRole("button", { name: "Cancel" }).click();
  };
  await refused("import nothing_of_that_name\n", /tools\.py.*nothing_of_that_name/s);
  await refused("print('no action')\n", /no Python function with @action/);
  expect(errors).toEqual([]);
});

test("an archive can be dropped, and the page shows that it would be taken", async ({ page }) => {
  deployed(folder("dropped"));
  const archive = packed(folder("dropped", { "more.txt": "more" }));
  await page.goto(`${server.url}/apps/dropped`);
  await expect(row(page, 1)).toBeVisible();
  const content = readFileSync(archive).toString("base64");
  const data = await page.evaluateHandle((base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "dropped.tar.gz", { type: "application/gzip" }));
    return transfer;
  }, content);
  const target = page.locator(".drop-target");
  await target.dispatchEvent("dragenter", { dataTransfer: data });
  await expect(page.getByText("Drop a folder or a .tar.gz file to deploy it")).toBeVisible();
  await target.dispatchEvent("drop", { dataTransfer: data });
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await expect(dialog(page)).toContainText("Version 2 is active.");
});

test("the list finds apps, and shows their state and their last run", async ({ page }) => {
  deployed(folder("find-me", { "main.sh": "exit 3\n" }));
  const response = await fetch(`${server.url}/api/actions/find-me/sync_execute?timeout=20`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"parameters":{}}',
  });
  expect(((await response.json()) as { error: string }).error).toContain("3");
  await page.goto(`${server.url}/apps`);
  await page.getByLabel("Filter apps").fill("find");
  const rows = page.locator(".apps tbody tr");
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText("enabled");
  await expect(rows.locator("[data-label='Last run']")).toContainText("failed");
  await expect(page).toHaveURL(/q=find/);
  await page.getByLabel("Filter apps").fill("nothing like it");
  await expect(page.getByText("No matching apps")).toBeVisible();
});

test("people see what they may do, and no more", async ({ page }) => {
  const dora = await Account.login(guarded.url, "dora");
  await page.goto(`${guarded.url}/apps`);
  await signIn(page, "dora");
  await choose(page, "Folder", folder("team-app"));
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await expect(row(page, 1)).toContainText("by dora");
  await page.goto(`${guarded.url}/apps/team-app`);
  await choose(page, "Folder", folder("team-app", { "main.sh": "echo two\n" }));
  await dialog(page).getByRole("button", { name: "Deploy" }).click();
  await expect(dialog(page)).toContainText("Version 2 is active.");
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await page.goto(`${guarded.url}/you`);
  await page.getByRole("button", { name: "Create token…" }).click();
  await expect(page.getByRole("checkbox", { name: /^deploy/ })).toBeVisible();
  await dora.send("POST", "/api/auth/logout", { everywhere: true });

  await page.goto(`${guarded.url}/apps/team-app`);
  await signIn(page, "olga");
  await expect(page.getByRole("link", { name: "Run", exact: true })).toBeVisible();
  await expect(page.getByRole("button", { name: "Deploy…" })).toHaveCount(0);
  await expect(page.getByRole("button", { name: "App team-app" })).toHaveCount(0);
  await row(page, 1).getByRole("button", { name: "Version 1" }).click();
  await expect(page.getByRole("menuitem")).toHaveText([
    "Compare with version 2",
    "Files and Towerfile",
  ]);
  await page.getByRole("menuitem", { name: "Compare with version 2" }).click();
  await expect(page.getByText("The content needs the right to deploy.")).toBeVisible();
  await expect(page.locator(".file-change")).toContainText("main.sh");
  await expect(page.locator(".diff")).toHaveCount(0);
  await page.goto(`${guarded.url}/you`);
  await page.getByRole("button", { name: "Create token…" }).click();
  await expect(page.getByRole("checkbox", { name: /^run/ })).toBeVisible();
  await expect(page.getByRole("checkbox", { name: /^deploy/ })).toHaveCount(0);
  const olga = await Account.login(guarded.url, "olga");
  await expect(olga.send("PATCH", "/api/apps/team-app", { active_version: 1 })).rejects.toThrow(
    "403",
  );
});

for (const scheme of ["light", "dark"] as const) {
  test(`the pages of apps are accessible and fit a phone, ${scheme}`, async ({ browser }) => {
    test.setTimeout(120_000);
    const at = folder(`looks-${scheme}`, { "data.bin": "a\0b", "lib/a.py": "print(1)\n" });
    deployed(at);
    writeFileSync(join(at, "lib/a.py"), "print(2)\nprint('a long line '.join(['x'] * 100))\n");
    writeFileSync(join(at, "data.bin"), "a\0c");
    deployed(at);
    const name = `looks-${scheme}`;
    const context = await browser.newContext({
      colorScheme: scheme,
      viewport: { width: 1280, height: 800 },
    });
    const page = await context.newPage();
    const errors = watchErrors(page);
    const found: string[] = [];
    for (const [label, path] of [
      ["apps", "apps"],
      ["app", `apps/${name}`],
      ["version", `apps/${name}/versions/2`],
      ["compare", `apps/${name}/compare?from=1&to=2`],
      ["missing", "apps/no-such-app"],
    ] as const) {
      for (const [size, width, height] of [
        ["", 1280, 800],
        ["-phone", 390, 844],
      ] as const) {
        await page.setViewportSize({ width, height });
        await page.goto(`${server.url}/${path}`);
        await expect(page.locator("main h1")).toBeVisible();
        await expect(page.locator(".loading")).toHaveCount(0);
        await shot(page, `look-${label}-${scheme}${size}`);
        const beyond = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        expect(beyond, `${label}${size}`).toBeLessThanOrEqual(0);
        const { violations } = await new AxeBuilder({ page }).analyze();
        for (const { id, nodes } of violations)
          found.push(`${label}${size}: ${id}: ${nodes.map((node) => node.target).join(", ")}`);
      }
    }
    expect(found).toEqual([]);
    expect(errors).toEqual([]);
    await context.close();
  });
}
