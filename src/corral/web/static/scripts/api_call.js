import { element, paragraphs } from "./elements.js";
import { fieldsOf, mergedSchema, rulesInWords, typeInWords } from "./json_schema.js";

/** One operation of the API, folded; `id` is the target of links to it. */
export function callElement(document, call) {
  return element("details", { class: "call", id: call.id }, [
    element("summary", {}, [
      element("span", { class: `method ${call.method.toLowerCase()}` }, call.method),
      element("code", { class: "path" }, breakable(call.path)),
      element("span", { class: "quiet" }, call.isDeprecated ? `Deprecated. ${call.summary}` : call.summary),
    ]),
    element("div", { class: "call-body" }, [
      ...paragraphs(call.description),
      ...parametersSection(document, call.parameters),
      ...call.bodies.flatMap(({ mediaType, schema }) => section(`Request body (${mediaType})`, bodyFields(document, schema))),
      ...section("Responses", element("dl", { class: "responses" }, ...responses(document, call.responses))),
    ]),
  ]);
}

function section(title, content) {
  return [element("h3", {}, title), content];
}

function parametersSection(document, parameters) {
  if (parameters.length === 0) return [];
  const rows = parameters.map(({ name, place, schema, isRequired }) =>
    fieldRow(document, name, schema, [`in ${place}`, isRequired ? "required" : null]),
  );
  return section("Parameters", element("dl", { class: "fields" }, ...rows));
}

function bodyFields(document, schema) {
  return fieldList(document, schema, ({ isRequired }) => (isRequired ? "required" : null));
}

// Almost all fields of a response are always present, so only the others are marked. Fields with a default are present.
function responseFields(document, schema) {
  const isPresent = ({ isRequired, schema: own }) => isRequired || "default" in own;
  return fieldList(document, schema, (field) => (isPresent(field) ? null : "optional"));
}

function fieldList(document, schema, presence) {
  const fields = fieldsOf(document, schema);
  if (fields.length === 0) return element("p", { class: "quiet" }, typeInWords(document, schema));
  const rows = fields.map((field) => fieldRow(document, field.path, field.schema, [presence(field)]));
  return element("dl", { class: "fields" }, ...rows);
}

function fieldRow(document, name, schema, facts) {
  const whole = mergedSchema(document, schema);
  const rules = [...facts, ...rulesInWords(whole)].filter(Boolean).join(", ");
  return element("div", {}, [
    element("dt", {}, element("code", {}, name), " ", element("span", { class: "type" }, typeInWords(document, schema))),
    element("dd", {}, ...paragraphs(whole.description ?? ""), rules ? element("p", { class: "quiet" }, rules) : null),
  ]);
}

function responses(document, given) {
  return given.map(({ status, description, contents }) => {
    const isSuccess = /^[23]/.test(status);
    return element("div", {}, [
      element("dt", { class: isSuccess ? "status success" : "status" }, status),
      element("dd", {}, [
        ...paragraphs(description),
        // All problems have the same fields; their description lists the codes.
        ...(isSuccess ? contents.map(({ schema }) => responseFields(document, schema)) : []),
      ]),
    ]);
  });
}

// A long path may wrap after a slash only.
function breakable(path) {
  return path.split(/(?<=\/)/).flatMap((step) => [step, element("wbr")]);
}
