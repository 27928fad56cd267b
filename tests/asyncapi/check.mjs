// Checks docs/asyncapi.yaml with AsyncAPI's official parser. What it only advises counts as well.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const path = new URL("../../docs/asyncapi.yaml", import.meta.url);
const { document, diagnostics } = await new Parser().parse(await readFile(path, "utf8"));
for (const { severity, message, path, range } of diagnostics) {
    const level = ["error", "warning", "info", "hint"][severity];
    console.error(`docs/asyncapi.yaml:${range.start.line + 1}: ${level}: ${message} (${path.join(".")})`);
}
if (!document || diagnostics.length > 0) {
    process.exit(1);
}
const [messages, operations] = [document.allMessages().length, document.allOperations().length];
console.log(`${messages} messages and ${operations} operations hold`);
