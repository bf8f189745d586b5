// Keeps the page current: it is told that an issue changed, and asks for that one.
'use strict';

const { topic, browse, poll } = document.body.dataset;
const at = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const ranks = { critical: 0, warning: 1, info: 2 };
const titles = {
  'not-accepted': 'Not accepted', 'not-ready': 'Not ready', 'no-rider': 'No rider', late: 'Late', 'wasted-ride': 'Wasted ride',
};
const remedies = { accept: 'Accept order', ready: 'Mark ready', collect: 'Mark collected', deliver: 'Mark delivered', cancel: 'Cancel order' };

// Issues by path. Links name the service as it calls itself, which need not be
// what this page was asked for by; what is asked for is at the page's own origin.
const issues = new Map();
const past = [];
const pathOf = (href) => { const u = new URL(href, location.href); return u.pathname + u.search; };

async function get(path) {
  // Asked anew each time; an answer that the browser has is only confirmed.
  const answer = await fetch(path, { headers: { Accept: 'application/hal+json' }, cache: 'no-cache', signal: AbortSignal.timeout(10_000) });
  if (answer.status === 404 || answer.status === 410) return null;
  if (!answer.ok) throw new Error(answer.status + ' ' + answer.statusText);
  return { doc: await answer.json(), etag: answer.headers.get('ETag') };
}

// refresh asks for an issue until there is an answer to a question that was sent
// after the last notice. Until then what is shown of it is marked.
async function refresh(path) {
  if (!issues.has(path)) issues.set(path, { path, wanted: 0, seen: 0 });
  const it = issues.get(path);
  it.wanted++;
  mark(it);
  if (it.asking) return;
  it.asking = true;
  for (let failures = 0; it.seen !== it.wanted;) {
    const wanted = it.wanted;
    let got;
    try {
      got = await get(path);
    } catch {
      it.failed = true;
      mark(it);
      await pause(Math.min(500 * 2 ** failures++, 10_000));
      continue;
    }
    if (wanted !== it.wanted) continue; // changed since: this may be from before
    it.failed = false;
    it.seen = wanted;
    take(it, got);
  }
  it.asking = false;
}

// take takes in what an issue is now.
function take(it, got) {
  if (!got || got.doc.status === 'resolved') {
    if (got && it.doc) {
      past.unshift(got.doc);
      past.length = Math.min(past.length, 6);
    }
    issues.delete(it.path);
  } else {
    it.doc = got.doc;
    it.etag = got.etag;
  }
  draw();
}

// all asks for everything that isn't resolved, and for what is shown and might be.
let loading = false;
let again = false;
async function all() {
  if (loading) { again = true; return; }
  loading = true;
  for (let failures = 0; ;) {
    again = false;
    try {
      const root = await get('/');
      const seen = new Set();
      for (let next = root.doc._links['issues-open'].href.replace(/\{.*\}/, ''); next;) {
        const page = await get(pathOf(next));
        for (const link of page.doc._links.item ?? []) seen.add(pathOf(link.href));
        next = page.doc._links.next?.href;
      }
      await Promise.all([...new Set([...seen, ...issues.keys()])].map(refresh));
      loaded = new Date();
      if (!again) break;
    } catch {
      loaded = null;
      tell();
      await pause(Math.min(500 * 2 ** failures++, 10_000));
    }
  }
  loading = false;
  tell();
  draw();
}

// What is heard. The page begins with what it is told first, live or not, and has
// missed nothing then: what changed before is in what it asks for, what changes
// after is announced. A reset says that something may have been missed.
let id = '';
let live = false;
let why = 'connecting';
let loaded = null;
function hear(m) {
  id = m.id || id;
  switch (m.event) {
    case 'notice': refresh(pathOf(m.data.href)); break;
    case 'reset': all(); break;
    case 'live': live = true; all(); break;
    case 'lost': live = false; why = 'The owner of issues is silent'; break;
  }
  tell();
}

let failures = 0;
function connect() {
  const url = new URL('changes', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  url.searchParams.set('topic', topic);
  if (id) url.searchParams.set('last-event-id', id);
  const socket = new WebSocket(url);
  socket.onopen = () => { failures = 0; };
  socket.onmessage = (e) => hear(JSON.parse(e.data));
  socket.onclose = () => {
    live = false;
    why = 'The connection is lost';
    tell();
    setTimeout(connect, Math.min(300 * 2 ** failures++, 5000));
  };
}

// While nobody tells of changes, everything is asked for now and then.
setInterval(() => { if (!live) all(); }, Number(poll));

function tell() {
  const state = at('state');
  state.className = 'state ' + (live ? 'live' : 'lost');
  const every = Math.round(poll / 1000) || 1;
  const text = live ? 'live' : `${why}: asking every ${every} s` + (loaded ? `, last at ${loaded.toLocaleTimeString()}` : '');
  if (state.textContent !== text) state.textContent = text;
  at('problem').hidden = live || loaded !== null || why === 'connecting';
  at('problem').textContent = 'The service of live issues doesn’t answer. What is below may be outdated.';
}

// Drawing. Each issue has its element for as long as it is there.
const svg = (name) => document.createElementNS('http://www.w3.org/2000/svg', name);
function element(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function mark(it) {
  if (!it.li) return;
  it.li.setAttribute('aria-busy', String(it.seen !== it.wanted));
  it.li.querySelector('.doubt').hidden = !it.failed;
}

function age(since) {
  const s = Math.max(0, Math.round((Date.now() - new Date(since)) / 1000));
  return s < 60 ? `${s} s` : s < 5400 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
}

const name = (doc) => doc.restaurant?.name || 'Order ' + doc._links.order.href.split('/').pop();

function fill(it) {
  const { doc } = it;
  const drawn = JSON.stringify(doc);
  if (it.drawn === drawn) return;
  it.drawn = drawn;
  const li = it.li ??= element('li');
  li.id = 'i-' + doc.id;
  li.className = doc.severity + ' ' + doc.status;
  const body = element('div', 'body');
  const title = element('h3', '', `${titles[doc.kind] ?? doc.kind}: ${name(doc)}`);
  title.append(' ', element('span', 'badge', doc.severity));
  if (doc.status === 'acknowledged') title.append(' ', element('span', 'badge', 'acknowledged'));
  const links = element('p', 'links');
  for (const rel of ['order', 'rider', 'restaurant']) {
    if (!doc._links[rel]) continue;
    const a = element('a', '', rel[0].toUpperCase() + rel.slice(1));
    a.href = browse + doc._links[rel].href;
    a.setAttribute('aria-label', `${rel} of ${name(doc)}`);
    links.append(a);
  }
  const doubt = element('span', 'doubt', 'may be outdated');
  doubt.hidden = true;
  links.append(doubt);
  body.append(title, element('p', '', doc.why), links);
  const since = element('time', 'age', age(doc.opened_at));
  since.dateTime = doc.opened_at;
  const actions = element('div', 'actions');
  const button = (text, sure, act) => {
    const b = element('button', '', text);
    b.type = 'button';
    b.onclick = async () => {
      if (sure && !b.classList.contains('sure')) { // it can't be undone, so it is asked for twice
        b.classList.add('sure');
        b.textContent = `Really ${text[0].toLowerCase()}${text.slice(1)}?`;
        setTimeout(() => { b.classList.remove('sure'); b.textContent = text; }, 5000);
        return;
      }
      b.disabled = true;
      say('');
      try {
        const answer = await act();
        if (answer.status === 412) say('It has changed meanwhile; nothing was done.');
        else if (!answer.ok) say((await answer.json().catch(() => ({}))).detail ?? answer.statusText);
      } catch {
        say('The service doesn’t answer; nothing was done.');
      }
      b.disabled = false;
      refresh(it.path);
    };
    actions.append(b);
  };
  for (const rel of ['acknowledge', 'resolve']) {
    if (doc._links[rel]) button(rel[0].toUpperCase() + rel.slice(1), false, () => fetch(pathOf(doc._links[rel].href), { method: 'POST', headers: { 'If-Match': it.etag } }));
  }
  for (const [rel, text] of Object.entries(remedies)) {
    if (doc._links[rel]) button(text, rel === 'cancel', () => fetch(`do?issue=${encodeURIComponent(doc.id)}&rel=${rel}`, { method: 'POST' }));
  }
  const focus = [...li.querySelectorAll('button')].indexOf(document.activeElement);
  li.replaceChildren(body, since, actions);
  li.querySelectorAll('button')[focus]?.focus();
}

// say tells what came of what somebody did here. It stays for as long as it takes to
// read, whatever is heard meanwhile, or until something else is done.
let silence = 0;
function say(text) {
  clearTimeout(silence);
  at('said').hidden = !text;
  at('said').textContent = text;
  if (text) silence = setTimeout(say, 20_000, '');
}

function draw() {
  const shown = [...issues.values()].filter((it) => it.doc);
  shown.sort((a, b) => (a.doc.status === 'acknowledged') - (b.doc.status === 'acknowledged')
    || ranks[a.doc.severity] - ranks[b.doc.severity] || a.doc.opened_at.localeCompare(b.doc.opened_at) || a.doc.id.localeCompare(b.doc.id));
  const counts = { critical: 0, warning: 0, info: 0, acknowledged: 0 };
  for (const it of shown) {
    counts[it.doc.status === 'acknowledged' ? 'acknowledged' : it.doc.severity]++;
    fill(it);
    mark(it);
  }
  for (const [key, n] of Object.entries(counts)) at('n-' + key).textContent = n;
  const list = at('issues');
  const want = shown.map((it) => it.li);
  if (want.length !== list.children.length || want.some((li, i) => list.children[i] !== li)) {
    const focused = document.activeElement;
    list.replaceChildren(...want);
    if (list.contains(focused)) focused.focus();
  }
  at('none').hidden = shown.length > 0 || loaded === null;
  at('past').hidden = past.length === 0;
  at('resolved').replaceChildren(...past.map((doc) => element('li', '', `${titles[doc.kind] ?? doc.kind}: ${name(doc)}, ${
    { cause: 'by itself', rules: 'by new rules', operator: 'by hand' }[doc.resolved_by] ?? ''} at ${new Date(doc.resolved_at).toLocaleTimeString()}`)));
  plot();
}

setInterval(() => {
  for (const it of issues.values()) if (it.li) it.li.querySelector('.age').textContent = age(it.doc.opened_at);
}, 1000);

// The plot: equirectangular, with degrees of longitude as wide as they are at the
// middle parallel. Over a city nobody can tell it from a better one.
const size = 400, margin = 28; // room for the scale below
let riders = [];
function plot() {
  const marked = [...issues.values()].filter((it) => it.doc?.dropoff);
  const places = [...marked.map((it) => it.doc.dropoff), ...riders];
  if (!places.length) { at('marks').replaceChildren(); at('riders').replaceChildren(); return; }
  const lats = places.map((p) => p.lat), lons = places.map((p) => p.lon);
  const [south, north, west, east] = [Math.min(...lats), Math.max(...lats), Math.min(...lons), Math.max(...lons)];
  const shrink = Math.cos((south + north) / 2 * Math.PI / 180);
  const unit = (size - 2 * margin) / Math.max((east - west) * shrink, north - south, 0.01);
  const spot = (p) => [(size / 2 + (p.lon - (west + east) / 2) * shrink * unit).toFixed(1), (size / 2 - (p.lat - (south + north) / 2) * unit).toFixed(1)];
  const shapes = { critical: 'M0-8 7.5 6H-7.5Z', warning: 'M0-7.5 7.5 0 0 7.5-7.5 0Z', info: 'M-6 0a6 6 0 1 1 12 0a6 6 0 1 1-12 0' };
  at('marks').replaceChildren(...marked.map(({ doc }) => {
    const a = svg('a'), path = svg('path'), title = svg('title');
    a.setAttribute('href', '#i-' + doc.id);
    a.setAttribute('tabindex', '-1');
    path.setAttribute('class', doc.severity + ' ' + doc.status);
    path.setAttribute('d', shapes[doc.severity]);
    path.setAttribute('transform', `translate(${spot(doc.dropoff)})`);
    title.textContent = `${titles[doc.kind] ?? doc.kind}: ${name(doc)}`;
    a.append(path, title);
    return a;
  }));
  const dots = new Map([...at('riders').children].map((c) => [c.dataset.rider, c]));
  for (const r of riders) {
    let dot = dots.get(r.rider);
    dots.delete(r.rider);
    if (!dot) {
      dot = svg('circle');
      dot.dataset.rider = r.rider;
      dot.setAttribute('r', 3);
      at('riders').append(dot);
    }
    const [x, y] = spot(r);
    dot.setAttribute('cx', x);
    dot.setAttribute('cy', y);
  }
  for (const gone of dots.values()) gone.remove();
  const metres = 111_195 / unit * size / 3;
  const ten = 10 ** Math.floor(Math.log10(metres));
  const length = ten * ([5, 2].find((f) => ten * f <= metres) ?? 1);
  const end = 14 + Math.round(length / 111_195 * unit);
  at('scale').setAttribute('d', `M14 390v-5m0 5H${end}v-5`);
  at('scale-label').setAttribute('x', end + 6);
  at('scale-label').textContent = length >= 1000 ? `${length / 1000} km` : `${length} m`;
}

async function follow() {
  if (!document.hidden) {
    try {
      const answer = await fetch('riders', { cache: 'no-store', signal: AbortSignal.timeout(5000) });
      riders = await answer.json();
      at('n-riders').textContent = riders.length;
      plot();
    } catch {
      // they are shown where they were; the state says what else is lost
    }
  }
  setTimeout(follow, 2000);
}

all();
connect();
follow();
