// Shows /openapi.json. The viewer would have a badge from elsewhere: it gets no address for it.

/**
 * Takes the examples of what may be left out from where the viewer would fill them in: sent together, they
 * contradict each other or leave out what one looks for. They stand in the descriptions instead.
 */
function withoutPrefilled(document) {
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
  for (const parameter of operations.flatMap((operation) => operation.parameters ?? [])) {
    if (parameter.in !== "query" || parameter.required || parameter.example === undefined) continue;
    parameter.description = [parameter.description, `For example: ${parameter.example}`].filter(Boolean).join(". ");
    delete parameter.example;
  }
  return document;
}

const answer = await fetch("/openapi.json");
SwaggerUIBundle({
  spec: withoutPrefilled(await answer.json()),
  dom_id: "#reference",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
