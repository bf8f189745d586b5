// h makes an element. Text is always text: nothing here parses HTML.
export function h(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else e.setAttribute(name, value === true ? '' : String(value));
  }
  e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

export function announce(text) {
  document.getElementById('announce').textContent = text;
}

let ids = 0;

// field returns a labelled input.
export function field(text, input, extra = {}) {
  ids += 1;
  input.id = `field-${ids}`;
  return h('div', extra, h('label', { for: input.id }, text), input);
}

// section returns a section that is named by its heading.
export function section(title, ...children) {
  ids += 1;
  return h('section', { 'aria-labelledby': `section-${ids}` }, h('h2', { id: `section-${ids}` }, title), children);
}

// table returns a table with a caption for those who can't see what is around it.
export function table(caption, heads, rows) {
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', null, h('caption', { class: 'hidden' }, caption),
      h('thead', null, h('tr', null, heads.map((t) => h('th', { scope: 'col' }, t)))),
      h('tbody', null, rows)));
}

export const when = (time) => h('time', { datetime: time }, new Date(time).toLocaleString());
