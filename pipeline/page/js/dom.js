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

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
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
