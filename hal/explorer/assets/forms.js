// HAL-FORMS: one HTML form for each template of a document.

import { call } from './call.js';
import { h, id } from './dom.js';
import { many, resolve } from './links.js';

const inputTypes = new Set(['hidden', 'text', 'search', 'tel', 'url', 'email', 'password', 'number', 'range', 'color', 'date', 'month', 'week', 'time', 'datetime-local', 'checkbox']);

// formView renders a template; send(method, url, contentType, body) makes the
// request and returns the answer.
export function formView(name, template, base, send) {
  const method = (template.method || 'GET').toUpperCase();
  const target = resolve(template.target || base, base);
  const fields = many(template.properties).filter((p) => p && p.name).map((p) => fieldView(p, base));
  const summary = h('p', { class: 'invalid', role: 'alert' });
  const submit = async (event) => {
    event.preventDefault();
    fields.forEach((f) => f.complain(''));
    summary.textContent = '';
    const type = template.contentType || 'application/json';
    const values = fields.filter((f) => !f.empty()).map((f) => [f.name, f.value()]);
    if (!target) {
      summary.textContent = 'The target of the form is not an http URL.';
      return;
    }
    if (method === 'GET') {
      const url = new URL(target);
      for (const [k, v] of values) for (const one of many(v)) url.searchParams.append(k, String(one));
      await send(method, url.href);
      return;
    }
    let body = '';
    if (type === 'application/x-www-form-urlencoded') {
      body = new URLSearchParams(values.flatMap(([k, v]) => many(v).map((one) => [k, String(one)]))).toString();
    } else if (method !== 'DELETE') {
      body = JSON.stringify(nested(values));
    }
    const answer = await send(method, target, body ? type : '', body);
    if (answer) complain(answer, fields, summary);
  };
  return h('form', { class: 'form', onsubmit: submit, novalidate: true },
    h('h3', {}, template.title || name, h('span', { class: `method ${method}` }, method)),
    target && target !== base && h('p', { class: 'faint' }, target),
    fields.map((f) => f.node), summary,
    h('button', { type: 'submit', class: method === 'DELETE' ? 'danger' : null }, template.title || (name === 'default' ? 'Send' : name)));
}

// nested makes objects of names with dots.
function nested(values) {
  const out = {};
  for (const [name, value] of values) {
    const parts = name.split('.');
    let at = out;
    for (const part of parts.slice(0, -1)) {
      if (!Object.hasOwn(at, part) || typeof at[part] !== 'object') Object.defineProperty(at, part, { value: {}, enumerable: true, writable: true, configurable: true });
      at = at[part];
    }
    Object.defineProperty(at, parts.at(-1), { value, enumerable: true, writable: true, configurable: true });
  }
  return out;
}

// complain puts the field errors of a problem document beside their fields, and
// says the rest below them.
function complain(answer, fields, summary) {
  if (answer.status < 400) return;
  let problem = null;
  try {
    problem = JSON.parse(answer.body);
  } catch { /* the status has to do */ }
  const left = [];
  let first = null;
  for (const error of many(problem?.errors)) {
    const path = String(error.pointer ?? '').replace(/^#?\//, '').replaceAll('/', '.');
    const f = fields.find((each) => each.name === path);
    if (f) {
      f.complain(error.detail);
      first ??= f;
    } else {
      left.push([path, error.detail].filter(Boolean).join(' '));
    }
  }
  const answered = `${answer.status} ${answer.statusText}`;
  summary.textContent = left.join('; ') || (first ? '' : [answered, problem?.detail].filter(Boolean).join(': '));
  if (answer.status === 412) summary.textContent += ' Note what you changed, then Reload.';
  first?.focus();
}

function fieldView(p, base) {
  const control = p.options ? optionsControl(p, base) : p.type === 'textarea' ? textControl(p) : inputControl(p);
  const error = h('span', { class: 'invalid', id: id('error') });
  for (const e of control.elements) e.setAttribute('aria-describedby', error.id);
  const label = p.prompt || p.name;
  const marks = [p.required && h('abbr', { title: 'required', class: 'required' }, '*'), p.readOnly && h('span', { class: 'chip' }, 'read only')];
  let node;
  if (p.type === 'hidden') node = control.node;
  else if (control.group) node = h('fieldset', { class: 'field' }, h('legend', {}, label, marks), control.node, error);
  else node = h('div', { class: 'field' }, h('label', { for: control.node.id }, label, marks), control.node, error);
  return {
    name: p.name,
    node,
    empty: control.empty,
    value: control.value,
    focus: () => control.elements[0]?.focus(),
    complain: (text) => {
      error.textContent = text;
      for (const e of control.elements) {
        if (text) e.setAttribute('aria-invalid', 'true'); // an empty value means false
        else e.removeAttribute('aria-invalid');
      }
    },
  };
}

const shared = (p) => ({ id: id('field'), name: p.name, required: p.required, readonly: p.readOnly, placeholder: p.placeholder, minlength: p.minLength || null, maxlength: p.maxLength || null });

function textControl(p) {
  const node = h('textarea', { ...shared(p), rows: p.rows || 4, cols: p.cols || 40 }, String(p.value ?? ''));
  return { node, elements: [node], empty: () => node.value === '' && !p.required, value: () => node.value };
}

function inputControl(p) {
  const type = inputTypes.has(p.type) ? p.type : 'text';
  const node = h('input', { ...shared(p), type, min: p.min, max: p.max, step: type === 'number' || type === 'range' ? p.step || 'any' : null, pattern: p.regex || null, autocomplete: 'off' });
  if (type === 'checkbox') {
    node.checked = p.value === true || p.value === 'true';
    return { node, elements: [node], empty: () => false, value: () => node.checked };
  }
  node.value = p.value === undefined || p.value === null ? '' : typeof p.value === 'object' ? JSON.stringify(p.value) : String(p.value);
  const number = type === 'number' || type === 'range' || typeof p.value === 'number';
  return {
    node,
    elements: [node],
    empty: () => node.value === '' && !p.required,
    value: () => (number && node.value !== '' && Number.isFinite(Number(node.value)) ? Number(node.value) : node.value),
  };
}

function optionsControl(p, base) {
  const o = p.options;
  const chosen = new Set(many(o.selectedValues ?? p.value).map(String));
  const multiple = o.maxItems !== 1 && (o.maxItems > 1 || o.minItems > 1 || Array.isArray(p.value) || o.maxItems === undefined && o.inline !== undefined && Array.isArray(o.selectedValues));
  const select = h('select', { id: id('field'), name: p.name, required: p.required, multiple, size: multiple ? Math.min(6, many(o.inline).length || 4) : null });
  const originals = new Map();
  const fill = (list) => {
    select.replaceChildren();
    if (!multiple && !p.required) select.append(h('option', { value: '' }, '—'));
    for (const item of list) {
      const object = item !== null && typeof item === 'object';
      const value = object ? item[o.valueField || 'value'] : item;
      const prompt = object ? item[o.promptField || 'prompt'] : item;
      originals.set(String(value), value);
      const option = h('option', { value: String(value) }, String(prompt ?? value));
      option.selected = chosen.has(String(value));
      select.append(option);
    }
  };
  fill(many(o.inline));
  if (o.link?.href) {
    const url = resolve(o.link.href, base);
    if (url) call('GET', url).then((answer) => {
      const doc = JSON.parse(answer.body);
      fill(Array.isArray(doc) ? doc : Object.values(doc._embedded ?? {}).flat());
    }).catch(() => select.append(h('option', { value: '', disabled: true }, 'the options could not be read')));
  }
  return {
    node: select,
    elements: [select],
    empty: () => (multiple ? select.selectedOptions.length === 0 : select.value === '') && !p.required,
    value: () => {
      const values = [...select.selectedOptions].map((option) => originals.get(option.value) ?? option.value);
      return multiple ? values : values[0] ?? '';
    },
  };
}
