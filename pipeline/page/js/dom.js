// Elements. Text goes in as text: whatever a file says is never read as markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A name of a file or a module, which may break behind its dots and underscores.
export function named(name) {
  const parts = name.split(/(?<=[._/])/).flatMap((part) => [element("wbr"), part]);
  return element("bdi", {}, ...parts.slice(1));
}

// A button that shows what it is by its text.
export function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, text);
}

// A choice among options, value -> text, of a field of the state: { node, show(state) }.
export function choice(title, field, options, change) {
  const select = element(
    "select",
    { name: field, onchange: () => change({ [field]: select.value }) },
    ...Object.entries(options).map(([value, text]) => element("option", { value }, text)),
  );
  const show = (state) => {
    select.value = state[field];
  };
  return { node: element("label", {}, `${title} `, select), show };
}

// A slider of a number of the state; `text` says its value.
export function slider(field, range, text, change) {
  const oninput = () => change({ [field]: Number(input.value) });
  const input = element("input", { type: "range", name: field, ...range, oninput });
  const said = element("span");
  const show = (state) => {
    if (Number(input.value) !== state[field]) input.value = state[field];
    say(said, text(state[field]));
  };
  return { node: element("label", {}, said, " ", input), show };
}

// A colour of the page's style, by its name, as the theme has it.
export function colour(name) {
  document.head.style.color = `var(--${name})`;
  return getComputedStyle(document.head).color;
}

// The colour of a layer's curve.
export function colourOf(at, count) {
  return `hsl(${Math.round((360 * at) / count + 210)} 65% 50%)`;
}

// A function that says whether its arguments differ from those of the call before: what did not change is not drawn anew.
export function changes() {
  let before = null;
  return (...values) => {
    const differ = before === null || values.some((value, at) => !Object.is(value, before[at]));
    before = values;
    return differ;
  };
}

// Sets a text where it differs.
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
