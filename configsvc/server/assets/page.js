import { announce, field, h } from './dom.js';
import { get } from './api.js';
import { problem } from './parts.js';
import { keyView } from './key.js';
import { compileView, historyView, instancesView, rolloutsView } from './views.js';

const content = document.getElementById('content');
const nav = document.getElementById('keys');
const brand = document.getElementById('brand').textContent;
let turn = 0;

// allKeys reads every page of the list.
async function allKeys() {
  const keys = [];
  for (let path = 'keys?limit=1000'; path;) {
    const { document } = await get(path);
    keys.push(...document.keys.map((k) => k.key));
    const next = document._links.next?.href;
    path = next ? `keys?${next.split('?')[1]}` : '';
  }
  return keys;
}

// tree groups keys by their segments.
function tree(keys) {
  const root = new Map();
  for (const key of keys) {
    let level = root;
    let path = '';
    for (const segment of key.split('/')) {
      path = path ? `${path}/${segment}` : segment;
      if (!level.has(segment)) level.set(segment, { path, there: false, below: new Map() });
      if (path === key) level.get(segment).there = true;
      level = level.get(segment).below;
    }
  }
  return root;
}

function branch(level, current, written) {
  return h('ul', null, [...level].map(([name, node]) => h('li', null,
    node.there ? h('a', { href: `#key=${node.path}`, 'aria-current': node.path === current ? 'page' : null },
      name, written.has(node.path) ? null : h('small', null, ' not written')) : h('span', null, name),
    node.below.size ? branch(node.below, current, written) : null)));
}

// readKeys are those that instances compile, written or not.
async function readKeys() {
  const { document } = await get('instances');
  return document.instances.flatMap((r) => r.keys ?? []);
}

async function showKeys(current) {
  const fresh = h('input', { type: 'text', spellcheck: 'false', autocomplete: 'off', placeholder: 'base/orders' });
  const form = h('form', { onsubmit: (e) => { e.preventDefault(); location.hash = `#key=${fresh.value.trim()}`; } },
    field('Open or make a key', fresh), h('div', { class: 'row' }, h('button', { type: 'submit', class: 'quiet' }, 'Open')));
  try {
    const [keys, read] = await Promise.all([allKeys(), readKeys()]);
    const written = new Set(keys.filter((k) => !k.startsWith('_rollouts/')));
    nav.replaceChildren(branch(tree([...new Set([...written, ...read])].sort()), current, written), form);
  } catch (e) {
    nav.replaceChildren(problem(e), form);
  }
}

async function home() {
  const { document } = await get('.');
  return [h('h1', { tabindex: '-1' }, brand), h('p', { class: 'meta' }, `You are ${document.you}. The log is kept in ${document.driver}.`),
    h('p', null, 'Choose a key, or see what is compiled from several.')];
}

// route shows what the part of the address after # names.
async function route() {
  turn += 1;
  const mine = turn;
  const hash = location.hash.slice(1);
  if (hash === 'content') { content.focus(); return; }
  const parameters = new URLSearchParams(hash);
  const key = parameters.get('key');
  const views = { compile: compileView, instances: instancesView, rollouts: rolloutsView, history: historyView };
  const view = Object.keys(views).find((v) => parameters.has(v));
  for (const a of document.querySelectorAll('.bar nav a')) {
    if (a.getAttribute('href') === `#${view}`) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  let parts;
  try {
    parts = await (key ? keyView(key, route) : view ? views[view](parameters, route) : home());
  } catch (e) {
    parts = [h('h1', { tabindex: '-1' }, 'That didn’t work'), problem(e)];
  }
  await showKeys(key);
  if (mine !== turn) return; // somebody has gone on
  content.replaceChildren(...parts.flat(Infinity).filter(Boolean));
  const heading = content.querySelector('h1');
  document.title = `${heading.textContent} – ${brand}`;
  heading.focus();
  announce(`${heading.textContent} is shown.`);
}

addEventListener('hashchange', route);
route();
