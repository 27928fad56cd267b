// What messaging.d.ts says is what messaging.js does.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as library from "../../web/messaging.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

test("TypeScript finds nothing wrong: the class is the one that the types describe", () => {
  const tsc = here("node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "--project", here("tsconfig.json")], { encoding: "utf8" });
  assert.equal(stdout, "");
  assert.equal(status, 0);
});

test("nothing is exported, and nothing public, that the types do not name", () => {
  const types = readFileSync(here("../../web/messaging.d.ts"), "utf8");
  const classes = [...types.matchAll(/^export class (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(Object.keys(library).sort(), classes.sort());
  const body = types.slice(types.indexOf("export class Messaging {"));
  const named = [...body.matchAll(/^  (?:readonly )?(\w+)[<(:]/gm)].map(([, name]) => name);
  const there = Object.getOwnPropertyNames(library.Messaging.prototype);
  assert.deepEqual(there.sort(), [...new Set(named)].sort());
  assert.deepEqual(Object.keys(new library.Messaging({ url: "http://127.0.0.1:1" })), []);
});
