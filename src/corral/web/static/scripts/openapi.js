/** Reads an OpenAPI 3.1 document, without the page. */

import { mergedSchema, resolve } from "./json_schema.js";

const METHODS = ["get", "head", "post", "put", "patch", "delete", "options", "trace"];

/** Returns `[{ name, description, calls }]` in the document's order; calls without a tag are in "other". */
export function groupedCalls(document) {
  const groups = new Map();
  for (const call of calls(document)) {
    const name = call.tags[0] ?? "other";
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(call);
  }
  return [...groups].map(([name, grouped]) => ({ name, description: tagDescription(document, name), calls: grouped }));
}

function calls(document) {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) => {
    const found = resolve(document, item);
    return METHODS.filter((method) => method in found).map((method) => readCall(document, path, method, found));
  });
}

function readCall(document, path, method, item) {
  const operation = item[method];
  return {
    id: operation.operationId ?? `${method}${path}`.replace(/\W+/g, "_"),
    method: method.toUpperCase(),
    path,
    tags: operation.tags ?? [],
    summary: operation.summary ?? item.summary ?? "",
    description: operation.description ?? item.description ?? "",
    isDeprecated: operation.deprecated === true,
    parameters: readParameters(document, [...(item.parameters ?? []), ...(operation.parameters ?? [])]),
    bodies: readContent(resolve(document, operation.requestBody ?? {})),
    responses: readResponses(document, operation.responses ?? {}),
  };
}

// A parameter of the operation overrides the path's parameter of the same name.
function readParameters(document, parameters) {
  const byPlace = new Map();
  for (const parameter of parameters.map((given) => resolve(document, given))) {
    byPlace.set(`${parameter.in} ${parameter.name}`, {
      name: parameter.name,
      place: parameter.in,
      isRequired: parameter.required === true,
      schema: mergedSchema(document, {
        ...(parameter.schema ?? readContent(parameter)[0]?.schema ?? {}),
        ...(parameter.description ? { description: parameter.description } : {}),
      }),
    });
  }
  return [...byPlace.values()];
}

function readResponses(document, responses) {
  return Object.entries(responses).map(([status, given]) => {
    const response = resolve(document, given);
    return { status, description: response.description ?? "", contents: readContent(response) };
  });
}

function readContent({ content = {} }) {
  return Object.entries(content).map(([mediaType, { schema = {} }]) => ({ mediaType, schema }));
}

function tagDescription(document, name) {
  return document.tags?.find((tag) => tag.name === name)?.description ?? "";
}
