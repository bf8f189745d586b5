// The page: one resource at a time, named by the location's hash.

import { call, field, start } from './call.js';
import { h, id } from './dom.js';
import { formView } from './forms.js';
import { pretty } from './json.js';
import { linkTable, many, resolve, shorter, toHash } from './links.js';

const main = document.getElementById('content');
const address = document.getElementById('url');
const announce = document.getElementById('announce');
const title = document.title;
let turn = 0;
let shown = '';
let draft = null; // what was written by hand and refused: { url, method, body, match }

const current = () => resolve(location.hash.slice(1) || start, start) ?? start;

function go(url) {
  if (toHash(url) === location.hash || (url === start && !location.hash)) open(url);
  else location.hash = url;
}

// request shows what comes back, unless something newer was asked for.
async function request(method, url, options = {}) {
  const mine = ++turn;
  document.body.classList.add('busy');
  announce.textContent = `${method} ${url}`;
  try {
    const answer = await call(method, url, options);
    if (mine === turn) show(method, answer);
    return answer;
  } catch (e) {
    if (mine === turn) failed(url, e);
    return null;
  } finally {
    if (mine === turn) document.body.classList.remove('busy');
  }
}

const open = (url, fresh = false) => {
  shown = url;
  address.value = url;
  return request('GET', url, { fresh });
};

function failed(url, error) {
  const heading = h('h1', { tabindex: '-1' }, 'No answer');
  main.replaceChildren(h('section', { class: 'problem', role: 'alert' }, heading, h('p', {}, error.message), h('p', { class: 'faint' }, url)));
  document.title = `No answer · ${title}`;
  heading.focus();
}

function show(method, answer) {
  if (draft && (draft.url !== answer.url || method !== 'GET' && answer.status < 400)) draft = null;
  let doc = null;
  try {
    doc = JSON.parse(answer.body);
  } catch { /* shown as text */ }
  const isObject = doc !== null && typeof doc === 'object' && !Array.isArray(doc);
  const problem = isObject && answer.status >= 400;
  const heading = h('h1', { tabindex: '-1' }, nameOf(doc, answer));
  const left = h('div', { class: 'left' });
  const right = h('div', { class: 'right' });
  if (problem) left.append(problemView(doc));
  if (method !== 'GET') left.append(afterwards(method, answer));
  if (isObject) {
    const base = answer.url;
    if (!problem) left.append(section('Links', linkTable(doc._links ?? {}, base, go)));
    const state = properties(doc, problem ? ['type', 'title', 'status', 'detail', 'instance', 'errors'] : []);
    if (state) left.append(section('State', state));
    const embedded = embeddedView(doc._embedded, base);
    if (embedded) left.append(section('Embedded', embedded));
    const forms = Object.entries(doc._templates ?? {});
    if (forms.length) left.append(section('Forms', forms.map(([name, t]) => formView(name, t, base, sendForm(answer)))));
  }
  right.append(documentView(answer, doc), section('Headers', headersView(answer)), writeView(answer));
  main.replaceChildren(
    h('div', { class: 'head' }, heading, statusView(method, answer)),
    h('div', { class: 'columns' }, left, right));
  document.title = `${heading.textContent} · ${title}`;
  announce.textContent = `${method} answered ${answer.status} ${answer.statusText}`;
  heading.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function nameOf(doc, answer) {
  if (answer.status >= 400) return doc?.title || `${answer.status} ${answer.statusText}`;
  const self = many(doc?._links?.self)[0];
  return self?.title || doc?.name || doc?.title || decodeURI(new URL(answer.url).pathname);
}

const section = (name, ...content) => {
  const heading = h('h2', { id: id('section') }, name);
  return h('section', { 'aria-labelledby': heading.id }, heading, content);
};

function statusView(method, answer) {
  const kind = answer.status >= 400 ? 'bad' : answer.status >= 300 ? 'warn' : 'good';
  const cacheStatus = field(answer, 'Cache-Status');
  const hit = /;\s*hit\b/.test(cacheStatus);
  const place = field(answer, 'Location');
  return h('p', { class: 'status' },
    method !== 'GET' && h('span', { class: `method ${method}` }, method),
    h('span', { class: `chip ${kind}` }, `${answer.status} ${answer.statusText}`),
    h('span', { class: 'chip' }, `${answer.millis.toFixed(1)} ms`),
    field(answer, 'ETag') && h('span', { class: 'chip', title: 'ETag: names this version' }, `ETag ${field(answer, 'ETag')}`),
    cacheStatus && h('span', { class: `chip ${hit ? 'good' : ''}`, title: `Cache-Status: ${cacheStatus}` }, hit ? 'cache hit' : cacheStatus),
    field(answer, 'Cache-Control') && h('span', { class: 'chip', title: 'Cache-Control' }, field(answer, 'Cache-Control')),
    place && h('a', { class: 'chip', href: toHash(resolve(place, answer.url) ?? '') }, `Location ${place}`),
    answer.truncated && h('span', { class: 'chip bad' }, 'cut off'));
}

function problemView(p) {
  return h('section', { class: 'problem', role: 'alert' },
    p.detail && h('p', {}, p.detail),
    many(p.errors).length > 0 && h('ul', {}, many(p.errors).map((e) => h('li', {}, h('code', {}, e.pointer || e.parameter || ''), ' ', e.detail))),
    p.type && p.type !== 'about:blank' && h('p', { class: 'faint' }, p.type),
    p.instance && h('p', { class: 'faint' }, p.instance));
}

// afterwards leads from the answer to a write back to the resource.
function afterwards(method, answer) {
  const refused = answer.status >= 400;
  const kept = refused && draft?.url === answer.url;
  return section(refused ? 'What next' : 'Done',
    kept && h('p', {}, answer.status === 412 ? 'Somebody else was faster. Read what it is now: what you wrote stays, and can be sent again.' : 'What you wrote stays, and can be sent again.'),
    h('button', { type: 'button', onclick: () => open(answer.url, true) }, kept ? 'Read the resource, keep what I wrote' : 'Read the resource'));
}

function value(v) {
  if (v === null) return h('span', { class: 'lit' }, 'null');
  if (Array.isArray(v) && v.every((x) => x === null || typeof x !== 'object')) return v.length ? v.map((x) => h('span', { class: 'chip' }, String(x))) : h('span', { class: 'faint' }, 'empty');
  if (Array.isArray(v) && v.length === 0) return h('span', { class: 'faint' }, 'empty');
  if (typeof v === 'object') return h('details', {}, h('summary', {}, Array.isArray(v) ? `${v.length} items` : `${Object.keys(v).length} members`), Array.isArray(v) ? v.slice(0, 100).map((x) => h('div', { class: 'item' }, typeof x === 'object' && x !== null ? properties(x, []) : value(x))) : properties(v, []));
  if (typeof v === 'boolean' || typeof v === 'number') return h('span', { class: typeof v === 'number' ? 'num' : 'lit' }, String(v));
  return String(v);
}

function properties(doc, except) {
  const rows = Object.entries(doc).filter(([k]) => !['_links', '_embedded', '_templates', ...except].includes(k));
  if (!rows.length) return null;
  return h('table', { class: 'state' }, h('caption', { class: 'hidden' }, 'Properties'),
    h('tbody', {}, rows.map(([k, v]) => h('tr', {}, h('th', { scope: 'row' }, k), h('td', {}, value(v))))));
}

function embeddedView(embedded, base) {
  if (!embedded || typeof embedded !== 'object') return null;
  return Object.entries(embedded).map(([rel, list]) => h('div', { class: 'relation' },
    h('h3', {}, rel, h('span', { class: 'count' }, String(many(list).length))),
    many(list).slice(0, 100).map((r) => {
      if (r === null || typeof r !== 'object') return null;
      const self = many(r._links?.self)[0];
      const url = self && !self.templated && resolve(self.href, base);
      const label = r.name ?? r.title ?? r.id ?? self?.href ?? 'resource';
      return h('details', { class: 'card' }, h('summary', {}, String(label), r._partial === true && h('span', { class: 'chip warn' }, 'partial')),
        url && h('p', { class: 'link' }, h('a', { href: toHash(url) }, shorter(self.href, base))),
        r._links && linkTable(r._links, base, go), properties(r, ['_partial']), embeddedView(r._embedded, base));
    })));
}

function documentView(answer, doc) {
  if (!answer.body) return section('Document', h('p', { class: 'faint' }, 'No body.'));
  if (doc === null || answer.body.length > 400000) return section('Document', h('pre', { tabindex: '0' }, answer.body.slice(0, 400000)));
  const link = (quoted) => {
    try {
      const href = JSON.parse(quoted);
      const url = href.includes('{') ? null : resolve(href, answer.url);
      return url && toHash(url);
    } catch {
      return null;
    }
  };
  return section('Document', pretty(answer.body, link));
}

const headersView = (answer) => h('table', { class: 'headers' }, h('caption', { class: 'hidden' }, 'Header fields'),
  h('tbody', {}, answer.headers.map(([name, v]) => h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, v)))));

// sendForm keeps a write conditional on what is on the screen.
const sendForm = (answer) => async (method, url, type = '', body = '') => {
  if (method === 'GET') {
    go(url);
    return null;
  }
  const headers = {};
  if (type) headers['Content-Type'] = type;
  const tag = field(answer, 'ETag');
  if (tag && !tag.startsWith('W/') && method !== 'POST' && url === answer.url) headers['If-Match'] = tag;
  const before = [...main.childNodes];
  const result = await request(method, url, { headers, body });
  if (result && result.status >= 400) { // keep the form and what was typed
    main.replaceChildren(...before);
    announce.textContent = `The form was refused: ${result.status} ${result.statusText}`;
  }
  return result;
};

function writeView(answer) {
  const kept = draft?.url === answer.url ? draft : null;
  const text = answer.body.length < 100000 ? readable(answer.body) : '';
  const method = h('select', { id: id('write'), name: 'method' }, ['PUT', 'PATCH', 'POST', 'DELETE'].map((m) => h('option', {}, m)));
  const match = h('input', { id: id('write'), type: 'text', name: 'if-match', value: answer.status >= 400 ? kept?.match ?? '' : field(answer, 'ETag'), spellcheck: 'false' });
  const body = h('textarea', { id: id('write'), name: 'body', rows: '12', spellcheck: 'false' });
  method.value = kept?.method ?? 'PUT';
  body.value = kept?.body ?? (answer.status >= 400 ? '' : text);
  const types = { PUT: 'application/hal+json', PATCH: 'application/merge-patch+json', POST: 'application/hal+json' };
  const usable = () => {
    body.disabled = method.value === 'DELETE';
    match.disabled = method.value === 'POST';
  };
  usable();
  method.addEventListener('change', () => {
    if (method.value === 'PATCH' && body.value === text) body.value = '{\n  \n}';
    if (method.value === 'PUT' && body.value === '{\n  \n}') body.value = text;
    usable();
  });
  const submit = (event) => {
    event.preventDefault();
    const headers = {};
    if (types[method.value]) headers['Content-Type'] = types[method.value];
    if (match.value && !match.disabled) headers['If-Match'] = match.value;
    draft = { url: answer.url, method: method.value, body: body.value, match: match.value };
    request(method.value, answer.url, { headers, body: method.value === 'DELETE' ? '' : body.value });
  };
  const heading = h('summary', {}, 'Write by hand');
  return h('details', { class: 'write', open: kept !== null }, heading, h('form', { onsubmit: submit },
    kept && answer.status < 400 && h('p', { class: 'faint' }, 'This is what you wrote before; beside it is what the resource is now.'),
    h('div', { class: 'field' }, h('label', { for: method.id }, 'Method'), method),
    h('div', { class: 'field' }, h('label', { for: match.id }, 'If-Match'), match),
    h('div', { class: 'field' }, h('label', { for: body.id }, 'Body'), body),
    h('button', { type: 'submit' }, 'Send')));
}

// readable breaks JSON into lines and leaves everything else as it is.
function readable(text) {
  try {
    JSON.parse(text);
    return pretty(text, () => null).textContent;
  } catch {
    return text;
  }
}

document.getElementById('address').addEventListener('submit', (event) => {
  event.preventDefault();
  const url = resolve(address.value.trim(), shown || start);
  if (url) go(url);
});
document.getElementById('reload').addEventListener('click', () => open(current(), true));
document.getElementById('home').addEventListener('click', (event) => {
  event.preventDefault();
  go(start);
});
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault(); // the hash names a resource
  main.focus();
});
addEventListener('hashchange', () => open(current()));
open(current());
