import { h, table, when } from './dom.js';
import { get, show } from './api.js';

// problem shows an error in words.
export function problem(error) {
  return h('div', { class: 'problem', role: 'alert' }, error.message, error.problems?.length ? h('ul', null, error.problems.map((p) => h('li', null, p))) : null);
}

// diffTable shows what changed, told apart by words and signs and not by colour alone.
export function diffTable(caption, diff) {
  if (!diff?.length) return h('p', { class: 'meta' }, 'Nothing differs.');
  return table(caption, ['Path', 'Before', 'After'], diff.map((d) => h('tr', null,
    h('td', { class: 'value' }, d.path || '/'),
    h('td', { class: 'value' }, d.before === undefined ? '—' : h('del', null, show(d.before))),
    h('td', { class: 'value' }, d.after === undefined ? '—' : h('ins', null, show(d.after))))));
}

// changes shows what a commit did.
export function changes(commit) {
  return commit.changes.map((c) => [
    h('h3', null, c.created ? 'Created ' : c.deleted ? 'Deleted ' : 'Changed ', h('a', { href: `#key=${c.key}` }, c.key)),
    diffTable(`What changed in ${c.key}`, c.diff),
  ]);
}

// previewOf shows what a write would do, and to whom.
export function previewOf(preview) {
  if (!preview.commit) return h('p', { class: 'fine' }, 'There is nothing to do.');
  const n = preview.effects.length;
  return [
    changes(preview.commit),
    h('p', { class: n ? 'note' : 'fine', id: 'effects' }, `This change alters ${n} ${n === 1 ? 'service' : 'services'}.`),
    preview.effects.map((e) => [
      h('h3', null, `${e.consumer.name} (${e.consumer.keys.join(', ')})`),
      e.problem ? h('p', { class: 'problem' }, `It could not be compiled any more: ${e.problem}`) : diffTable(`What changes for ${e.consumer.name}`, e.diff),
    ]),
  ];
}

export const by = (d) => [`${d.author}, `, when(d.time), d.message ? ` — ${d.message}` : ''];

// liveRunning shows who runs what, and goes on to: what an instance makes of a
// change is known only after it was saved.
export function liveRunning(list, path) {
  const box = h('div', { class: 'running', 'aria-live': 'polite' }, runningTable(list));
  const said = (l) => JSON.stringify(l.map((r) => [r.service, r.id, r.hash, r.rejected, r.error, r.fromCopy, r.layers]));
  let last = said(list);
  let shown = false;
  let turns = 0;
  const again = async () => {
    turns += 1;
    shown ||= box.isConnected;
    if (!box.isConnected && (shown || turns > 30)) return;
    try {
      const { document } = await get(path);
      if (said(document.instances) !== last) {
        last = said(document.instances);
        box.replaceChildren(runningTable(document.instances));
      }
    } catch { /* the next turn may know */ }
    setTimeout(again, 2000);
  };
  setTimeout(again, 1000);
  return box;
}

// runningTable shows who runs what.
function runningTable(list) {
  if (!list.length) return h('p', { class: 'meta' }, 'Nobody has reported lately.');
  return table('Instances and what they run', ['Service', 'Instance', 'State', 'Runs', 'Layers'], list.map((r) => h('tr', null,
    h('td', null, r.service), h('td', null, r.id),
    h('td', { class: 'state' }, r.rejected ? [h('span', { class: 'tag bad' }, 'rejects an update'), ' ', r.error]
      : r.error ? [h('span', { class: 'tag warn' }, 'has trouble'), ' ', r.error]
        : r.fromCopy ? h('span', { class: 'tag warn' }, 'runs its copy') : h('span', { class: 'tag good' }, 'up to date'),
    r.overrides?.length ? [' ', h('span', { class: 'tag warn' }, `overrides ${r.overrides.join(', ')}`)] : null),
    h('td', { class: 'value' }, r.hash.slice(0, 12)),
    h('td', null, (r.layers ?? []).filter((l) => l.version).map((l) => [h('span', null, `${l.name} v${show(l.version)}`), ' '])))));
}
