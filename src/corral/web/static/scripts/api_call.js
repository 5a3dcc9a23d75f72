import { element, paragraphs } from "./elements.js";
import { fieldsOf, mergedSchema, rulesInWords, typeInWords } from "./json_schema.js";

/** One call of an API, folded up; `id` is where a link to it leads. */
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
      ...call.bodies.flatMap(({ mediaType, schema }) => section(`Body, ${mediaType}`, bodyFields(document, schema))),
      ...section("Answers", element("dl", { class: "answers" }, ...answers(document, call.answers))),
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

// What an answer has, it has always: there "required" on every line would say nothing. A default is written, too.
function answerFields(document, schema) {
  const isThere = ({ isRequired, schema: own }) => isRequired || "default" in own;
  return fieldList(document, schema, (field) => (isThere(field) ? null : "not always there"));
}

function fieldList(document, schema, presence) {
  const fields = fieldsOf(document, schema);
  if (fields.length === 0) return element("p", { class: "quiet" }, typeInWords(document, schema));
  const rows = fields.map((field) => fieldRow(document, field.path, field.schema, [presence(field)]));
  return element("dl", { class: "fields" }, ...rows);
}

function fieldRow(document, name, schema, facts) {
  const whole = mergedSchema(document, schema);
  const told = [...facts, ...rulesInWords(whole)].filter(Boolean).join(", ");
  return element("div", {}, [
    element("dt", {}, element("code", {}, name), " ", element("span", { class: "type" }, typeInWords(document, schema))),
    element("dd", {}, ...paragraphs(whole.description ?? ""), told ? element("p", { class: "quiet" }, told) : null),
  ]);
}

function answers(document, given) {
  return given.map(({ status, description, contents }) => {
    const isSuccess = /^[23]/.test(status);
    return element("div", {}, [
      element("dt", { class: isSuccess ? "status success" : "status" }, status),
      element("dd", {}, [
        ...paragraphs(description),
        // Problems all look alike and are told apart by the codes in their description.
        ...(isSuccess ? contents.map(({ schema }) => answerFields(document, schema)) : []),
      ]),
    ]);
  });
}

// A long path may break after a slash and nowhere else.
function breakable(path) {
  return path.split(/(?<=\/)/).flatMap((step) => [step, element("wbr")]);
}
