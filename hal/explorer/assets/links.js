// The links of a document: follow them, expand their templates.

import { h, id } from './dom.js';
import { expand, variables } from './template.js';

export const many = (value) => (Array.isArray(value) ? value : value === null || value === undefined ? [] : [value]);

// resolve returns an absolute http URL, or null for anything else: a page must
// not run what an API says.
export function resolve(href, base) {
  try {
    const u = new URL(href, base);
    return u.protocol === 'http:' || u.protocol === 'https:' ? u.href : null;
  } catch {
    return null;
  }
}

// shorter leaves the origin out of a href of the document's own.
export function shorter(href, base) {
  const { origin } = new URL(base);
  return href.startsWith(`${origin}/`) ? href.slice(origin.length) : href;
}

export const toHash = (url) => '#' + url;

// documentation returns where a relation is described, by the curies.
function documentation(rel, links, base) {
  if (/^https?:/.test(rel)) return rel;
  const [prefix, ...rest] = rel.split(':');
  if (!rest.length) return null;
  const curie = many(links.curies).find((c) => c.name === prefix);
  return curie ? resolve(expand(curie.href, { rel: rest.join(':') }), base) : null;
}

export function linkTable(links, base, go) {
  const rows = [];
  for (const [rel, value] of Object.entries(links)) {
    if (rel === 'curies') continue;
    const all = many(value);
    const doc = documentation(rel, links, base);
    const head = h('th', { scope: 'row' },
      doc ? h('a', { href: doc, target: '_blank', rel: 'noreferrer noopener', title: 'Documentation of the relation' }, rel) : rel,
      all.length > 1 && h('span', { class: 'count' }, String(all.length)));
    rows.push(h('tr', {}, head, h('td', {}, all.length === 0 && h('span', { class: 'faint' }, 'none'), many(all.slice(0, 100)).map((link) => oneLink(rel, link, base, go)),
      all.length > 100 && h('p', { class: 'faint' }, `and ${all.length - 100} more`))));
  }
  if (!rows.length) return h('p', { class: 'faint' }, 'This document has no links.');
  return h('table', { class: 'links' },
    h('caption', { class: 'hidden' }, 'Links by relation'),
    h('thead', { class: 'hidden' }, h('tr', {}, h('th', { scope: 'col' }, 'Relation'), h('th', { scope: 'col' }, 'Target'))),
    h('tbody', {}, rows));
}

function oneLink(rel, link, base, go) {
  if (typeof link === 'string') link = { href: link };
  if (!link || typeof link.href !== 'string') return h('p', { class: 'faint' }, 'not a link object');
  const notes = [
    link.deprecation && h('a', { class: 'chip bad', href: resolve(link.deprecation, base) ?? '#', target: '_blank', rel: 'noreferrer noopener' }, 'deprecated'),
    link.name && h('span', { class: 'chip' }, link.name),
    link.type && h('span', { class: 'chip' }, link.type),
    link.hreflang && h('span', { class: 'chip' }, link.hreflang),
    link.profile && h('span', { class: 'chip', title: link.profile }, 'profile'),
  ];
  const title = link.title && h('span', { class: 'faint' }, link.title);
  if (link.templated) return templateForm(rel, link, base, go, title, notes);
  const url = resolve(link.href, base);
  return h('p', { class: 'link' }, url ? h('a', { href: toHash(url) }, shorter(link.href, base)) : h('span', {}, link.href), title, notes);
}

function templateForm(rel, link, base, go, title, notes) {
  const fields = variables(link.href).map(({ name, many: list }) => {
    const input = h('input', { id: id('var'), name, type: 'text', autocomplete: 'off', spellcheck: 'false', placeholder: list ? 'a, b, …' : null });
    return { name, list, input, node: h('span', { class: 'var' }, h('label', { for: input.id }, name), input) };
  });
  const submit = (event) => {
    event.preventDefault();
    const values = {};
    for (const f of fields) {
      if (f.input.value === '') continue;
      values[f.name] = f.list ? f.input.value.split(',').map((s) => s.trim()) : f.input.value;
    }
    const url = resolve(expand(link.href, values), base);
    if (url) go(url);
  };
  return h('form', { class: 'template', onsubmit: submit, 'aria-label': `Expand ${rel}` },
    h('p', { class: 'link' }, h('code', {}, shorter(link.href, base)), title, notes),
    h('div', { class: 'vars' }, fields.map((f) => f.node), h('button', { type: 'submit', class: 'quiet' }, 'Follow')));
}
