/** Describes a JSON Schema: fields by their path, types and rules in words. */

const RANGES = [
  ["minimum", "maximum", ""],
  ["minLength", "maxLength", " characters"],
  ["minItems", "maxItems", " items"],
];
const RULES = {
  exclusiveMinimum: "more than %s",
  exclusiveMaximum: "less than %s",
  multipleOf: "a multiple of %s",
  pattern: "matches %s",
  default: "default: %s",
};

/** Returns what a `$ref` within the document points to, or the node itself. */
export function resolve(document, node) {
  const seen = new Set();
  let found = node;
  while (typeof found?.$ref === "string" && !seen.has(found.$ref)) {
    seen.add(found.$ref);
    found = pointedTo(document, found.$ref);
  }
  return found ?? {};
}

/** Returns a schema merged with its reference, its `allOf` and its only alternative to null. */
export function mergedSchema(document, schema) {
  return merged(document, schema, new Set());
}

/** Returns `[{ path, schema, isRequired }]`: nested fields are `order.legs[].symbol`, recursive types appear once. */
export function fieldsOf(document, schema) {
  return fields(document, schema, "", []);
}

/** Returns the type in words: `array of string`, `"paper" or "live"`, `string (uuid) or null`. */
export function typeInWords(document, schema) {
  return words(document, schema, new Set());
}

/** Returns limits, pattern and default in words. */
export function rulesInWords(schema) {
  const ranges = RANGES.map(([low, high, unit]) => rangeInWords(schema[low], schema[high], unit));
  const rules = Object.entries(RULES)
    .filter(([keyword]) => schema[keyword] !== undefined && schema[keyword] !== null)
    .map(([keyword, text]) => text.replace("%s", () => asWritten(keyword, schema[keyword])));
  return [...ranges.filter(Boolean), ...rules];
}

function pointedTo(document, reference) {
  if (!reference.startsWith("#/")) return undefined;
  const steps = reference.slice(2).split("/");
  return steps.reduce((node, step) => node?.[unescapeStep(step)], document);
}

function unescapeStep(step) {
  return decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
}

function merged(document, schema, seen) {
  if (typeof schema !== "object" || schema === null || seen.has(schema)) return {};
  const within = new Set([...seen, schema]);
  const { $ref, ...own } = schema;
  const target = $ref ? merged(document, resolve(document, schema), within) : {};
  const parts = (own.allOf ?? []).map((part) => merged(document, part, within));
  const choices = alternatives(own).filter((choice) => choice.type !== "null");
  const lone = choices.length === 1 ? merged(document, choices[0], within) : {};
  const sources = [target, ...parts, lone, own];
  return {
    ...Object.assign({}, ...sources),
    properties: Object.assign({}, ...sources.map((source) => source.properties)),
    required: sources.flatMap((source) => source.required ?? []),
  };
}

function fields(document, schema, prefix, ancestors) {
  const object = mergedSchema(document, schema);
  const key = JSON.stringify(object.properties);
  if (ancestors.includes(key)) return [];
  return Object.entries(object.properties ?? {}).flatMap(([name, given]) => {
    const own = mergedSchema(document, given);
    const path = `${prefix}${name}`;
    const nested = own.items ? [own.items, `${path}[].`] : [own, `${path}.`];
    return [
      { path, schema: given, isRequired: object.required.includes(name) },
      ...fields(document, ...nested, [...ancestors, key]),
    ];
  });
}

function words(document, schema, seen) {
  if (typeof schema !== "object" || schema === null || seen.has(schema)) return "anything";
  const within = new Set([...seen, schema]);
  if (schema.$ref) return words(document, resolve(document, schema), within);
  if (schema.allOf?.length === 1) return words(document, schema.allOf[0], within);
  const choices = alternatives(schema);
  if (choices.length) return unique(choices.map((choice) => words(document, choice, within))).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  const types = [schema.type ?? (schema.properties ? "object" : "anything")].flat();
  return types.map((type) => typeInOneWord(document, schema, type, within)).join(" or ");
}

function typeInOneWord(document, schema, type, seen) {
  if (type === "array" && schema.items) return `array of ${words(document, schema.items, seen)}`;
  if (type === "object" && typeof schema.additionalProperties === "object") {
    return `object of ${words(document, schema.additionalProperties, seen)}`;
  }
  return schema.format && type !== "null" ? `${type} (${schema.format})` : type;
}

function alternatives({ anyOf = [], oneOf = [] }) {
  return [...anyOf, ...oneOf];
}

function unique(texts) {
  return [...new Set(texts)];
}

function rangeInWords(low, high, unit) {
  if (low !== undefined && high !== undefined) return low === high ? `${low}${unit}` : `${low} to ${high}${unit}`;
  if (low !== undefined) return `at least ${low}${unit}`;
  return high === undefined ? null : `at most ${high}${unit}`;
}

function asWritten(keyword, value) {
  return keyword === "pattern" ? value : JSON.stringify(value);
}
