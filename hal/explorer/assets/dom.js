// h makes an element: attributes, on… listeners, children. Text stays text.
export function h(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value === true ? '' : String(value));
  }
  e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

let ids = 0;

// id returns an identifier that no other element of the page has.
export function id(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
