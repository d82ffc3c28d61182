/** Shows the AsyncAPI document: every text goes in as text, so nothing in it can run. */
const root = document.getElementById("reference");

/** An element with attributes and children; strings become text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Text with `code` in it, as nodes. */
function prose(text) {
  return (text ?? "").split("`").map((piece, index) => (index % 2 ? make("code", {}, piece) : piece));
}

const nameOf = (reference) => reference.split("/").at(-1);

/** What a value may be, in a few words. */
function kind(schema) {
  if (schema.$ref) return make("a", { href: `#${nameOf(schema.$ref)}` }, nameOf(schema.$ref));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.anyOf) return schema.anyOf.map((each) => each.type).join(" or ");
  if (schema.type === "array" && schema.items?.$ref) return make("span", {}, "list of ", kind(schema.items));
  return [schema.type ?? "any"].flat().join(" or ");
}

function keys(schema) {
  const required = new Set(schema.required);
  const rows = Object.entries(schema.properties ?? {}).map(([name, each]) => make("tr", {},
    make("td", {}, required.has(name) ? name : `${name}?`), make("td", {}, kind(each)), make("td", {}, ...prose(each.description))));
  const head = make("tr", {}, ...["key", "is", "about"].map((text) => make("th", { scope: "col" }, text)));
  return make("div", { class: "scroll", tabindex: "0" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function article(id, title, about, schema) {
  return make("article", { id }, make("h3", {}, title), make("p", { class: "about" }, ...prose(about)), keys(schema));
}

function part(title, id, articles) {
  return make("section", { "aria-labelledby": id }, make("h2", { id }, title), ...articles);
}

function show(wire) {
  const { messages, schemas } = wire.components;
  const operations = Object.values(wire.operations).filter((each) => each.action === "receive");
  const ids = new Set();
  const requests = [];
  for (const operation of operations) {
    const id = nameOf(operation.messages[0].$ref);
    if (ids.has(id)) continue; // the same on the other channel
    ids.add(id);
    const reply = nameOf(operation.reply.messages[0].$ref);
    const entry = article(id, messages[id].name, operation.summary, messages[id].payload);
    entry.append(make("p", { class: "answer" }, "answered with ", make("a", { href: `#${reply}` }, messages[reply].name)));
    requests.push(entry);
  }
  const of = (start) => Object.keys(messages).filter((key) => key.startsWith(start))
    .map((key) => article(key, messages[key].name, messages[key].description, messages[key].payload));
  const parts = [
    ["Requests", "requests", requests],
    ["Replies", "replies", of("reply.")],
    ["Events", "events", of("event.")],
    ["Errors and goodbyes", "ends", [...of("error"), ...of("goodbye")]],
    ["Maps in several messages", "maps", Object.entries(schemas).map(([key, schema]) => article(key, key, schema.description, schema))],
  ];
  root.replaceChildren(
    make("header", {}, make("h1", {}, wire.info.title), make("p", {}, ...prose(wire.info.description)),
      make("p", {}, "For tools: ", make("a", { href: "/asyncapi.json" }, "asyncapi.json"), ". Over HTTP: ", make("a", { href: "/docs" }, "the HTTP API"), ".")),
    make("nav", { "aria-label": "Parts" }, make("ul", {}, ...parts.map(([title, id]) => make("li", {}, make("a", { href: `#${id}` }, title))))),
    ...parts.map(([title, id, articles]) => part(title, id, articles)),
  );
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

try {
  const answer = await fetch("/asyncapi.json");
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  show(await answer.json());
} catch (error) {
  root.replaceChildren(make("p", { class: "boot" }, `The document could not be read: ${error.message}. Reload to try again.`));
}
