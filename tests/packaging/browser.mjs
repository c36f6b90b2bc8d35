// Opens a page in headless Chromium and returns the title its script gave it.
import { accessSync, constants, createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { delimiter, extname, join, normalize } from "node:path";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];

/** Serves `folder` on the loopback interface and reads the title of one page, once its script has set it. */
export async function openPage(tools, folder, path) {
  const server = createServer((request, response) => {
    const file = join(folder, normalize(new URL(request.url, "http://localhost").pathname));
    if (!existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await launch(tools);
  try {
    const page = await browser.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    await page.goto(`http://127.0.0.1:${server.address().port}${path}`);
    await page.waitForFunction(() => document.title !== "callboard", undefined, { timeout: 60_000 }).catch((error) => {
      throw new Error(`${error.message}\n${errors.join("\n")}`);
    });
    return await page.title();
  } finally {
    await browser.close();
    server.close();
  }
}

/** A headless Chromium. */
export function launch(tools) {
  return tools("playwright-core").chromium.launch({ executablePath: chromium(), args: FLAGS });
}

/** The browser that `cargo xtask setup` found or installed. */
function chromium() {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const folders = (process.env.PATH ?? "").split(delimiter);
  const found = [process.env.CHROMIUM ?? "", ...names.flatMap((name) => folders.map((folder) => join(folder, name)))].find(executable);
  if (!found) throw new Error("no Chromium on the PATH: run `cargo xtask setup`");
  return found;
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return path !== "";
  } catch {
    return false;
  }
}
