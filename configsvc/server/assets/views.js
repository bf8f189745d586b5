import { announce, field, h, section, table, when } from './dom.js';
import { ask, get, query, show } from './api.js';
import { by, changes, liveRunning, problem } from './parts.js';

const title = (text) => h('h1', { tabindex: '-1' }, text);

export async function instancesView() {
  const { document } = await get('instances');
  return [title('Instances'), h('p', { class: 'meta' }, 'Who runs what, as they say themselves.'), section('Running', liveRunning(document.instances, 'instances'))];
}

export async function historyView() {
  const { document } = await get('changes?limit=50');
  return [title('History'), section('Latest changes', h('ol', { class: 'commits' }, document.changes.map((c) => h('li', null,
    h('p', { class: 'meta' }, `Revision ${show(c.revision)} by `, by(c)), changes(c)))))];
}

export async function rolloutsView(_, done) {
  const { document } = await get('rollouts');
  const result = h('div');
  const act = (r, verb, body) => async () => {
    try {
      await ask('POST', `rollouts/${r.id}/${verb}`, body());
      announce(`Rollout ${r.id}: ${verb}.`);
      await done();
    } catch (e) { result.replaceChildren(problem(e)); }
  };
  return [title('Rollouts'), h('p', { class: 'meta' }, 'Changes that go to a part of the instances first. They halt by themselves when instances reject them.'), result,
    document.rollouts.length ? document.rollouts.map((r) => {
      const percent = h('input', { type: 'number', min: '1', max: '100', value: show(r.percent) });
      return section(`${r.edits.map((e) => e.key).join(', ')}`,
        h('p', null, h('span', { class: `tag ${r.state === 'halted' ? 'bad' : r.state === 'completed' ? 'good' : 'warn'}` }, r.state), ` ${show(r.percent)} percent, begun by ${r.author}, `, when(r.started), r.message ? ` — ${r.message}` : ''),
        r.reason ? h('p', { class: 'problem' }, r.reason) : null,
        r.edits.map((e) => [h('h3', null, e.key), h('pre', null, e.value === undefined ? 'deleted' : JSON.stringify(e.value, null, 2))]),
        r.state === 'running' ? h('div', { class: 'row' }, field('Percent of the instances', percent),
          h('button', { type: 'button', class: 'quiet', onclick: act(r, 'percent', () => ({ percent: Number(percent.value) })) }, 'Change'),
          h('button', { type: 'button', onclick: act(r, 'complete', () => ({})) }, 'Complete: make it for all'),
          h('button', { type: 'button', class: 'grave', onclick: act(r, 'halt', () => ({ reason: 'by hand' })) }, 'Halt: take it back')) : null);
    }) : section('Rollouts', h('p', { class: 'meta' }, 'There are none.'))];
}

export async function compileView(parameters) {
  const keys = h('input', { type: 'text', spellcheck: 'false', autocomplete: 'off', value: (parameters.get('keys') ?? 'base').replaceAll(',', ' ') });
  const out = h('div');
  const run = async () => {
    const list = keys.value.split(/[\s,]+/).filter(Boolean);
    try {
      const q = list.map((k) => `key=${encodeURIComponent(k)}`).join('&');
      const [compiled, explained] = await Promise.all([get(`compile?${q}`), get(`explain?${q}`)]);
      out.replaceChildren(
        section('Which layer sets what', table('Values and their layers', ['Path', 'Value', 'Layer', 'Overrides'], explained.document.settings.map((s) => h('tr', null,
          h('td', { class: 'value' }, s.path), h('td', { class: 'value' }, s.deleted ? 'deleted' : show(s.value)),
          h('td', null, h('a', { href: `#key=${s.layer.name}` }, s.layer.name), ` v${show(s.layer.version ?? 0)}`),
          h('td', { class: 'value' }, (s.overrides ?? []).map((o) => h('div', null, `${show(o.value)} of ${o.layer.name}`))))))),
        section('Result', h('p', { class: 'meta' }, `Hash ${compiled.document.hash}`), h('pre', { id: 'compiled' }, JSON.stringify(compiled.document.value, null, 2))));
      announce('Compiled.');
    } catch (e) { out.replaceChildren(problem(e)); }
  };
  await run();
  return [title('Compile'), section('Layers', h('form', { onsubmit: (e) => { e.preventDefault(); location.hash = `#compile&${query({ keys: keys.value.trim().split(/[\s,]+/).join(',') })}`; run(); } },
    field('Keys, the weakest layer first', keys), h('div', { class: 'row' }, h('button', { type: 'submit' }, 'Compile')))), out];
}
