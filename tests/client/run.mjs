// Runs these tests: node tests/client/run.mjs [FILE…]

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 10)) {
  console.error(`Node.js 20.10 or later is needed; this is ${process.version}`);
  process.exit(1);
}
const here = fileURLToPath(new URL(".", import.meta.url));
const named = process.argv.slice(2);
const files = named.length > 0 ? named : readdirSync(here).filter((name) => name.endsWith(".test.mjs"));
// Built in since Node.js 22. One file after the other: tests that wait for one another's servers
// would say nothing about the library.
const socket = typeof WebSocket === "undefined" ? ["--experimental-websocket"] : [];
const flags = [...socket, "--no-warnings", "--test", "--test-concurrency=1", "--test-reporter=tap"];
spawn(process.execPath, [...flags, ...files], { cwd: here, stdio: "inherit" }).on("exit", (code) => {
  process.exitCode = code ?? 1;
});
