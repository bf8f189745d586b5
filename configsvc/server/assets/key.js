import { announce, field, h, section, table } from './dom.js';
import { ask, get, query, show } from './api.js';
import { by, changes, diffTable, liveRunning, previewOf, problem } from './parts.js';

const optional = (promise) => promise.catch((e) => { if (e.status === 404) return null; throw e; });

// keyView shows a document with everything about it.
export async function keyView(key, done) {
  const [found, schemas, running, history] = await Promise.all([
    optional(get(`keys/${key}`)), get(`schemas/${key}`).catch(() => null),
    get(`instances?${query({ key })}`), get(`changes?${query({ prefix: key, limit: 20 })}`),
  ]);
  const own = history.document.changes.filter((c) => c.changes.some((d) => d.key === key));
  return [
    h('h1', { tabindex: '-1' }, key),
    h('p', { class: 'meta' }, found ? [`Version ${show(found.document.version)} by `, by(found.document)] : 'It isn’t there yet.'),
    editor(key, found, done),
    help(schemas?.document.schemas ?? {}),
    section('Who runs it', liveRunning(running.document.instances, `instances?${query({ key })}`)),
    historyOf(key, own, done),
  ];
}

function editor(key, found, done) {
  const text = found ? JSON.stringify(found.document.value, null, 2) : '{\n}';
  const input = h('textarea', { spellcheck: 'false', autocomplete: 'off', 'aria-describedby': 'syntax' });
  input.value = text;
  input.rows = Math.min(40, Math.max(10, text.split('\n').length + 1));
  const message = h('input', { type: 'text', maxlength: '2000', autocomplete: 'off' });
  const percent = h('input', { type: 'number', min: '1', max: '100', value: '10' });
  const syntax = h('p', { id: 'syntax', class: 'meta', 'aria-live': 'polite' }, 'JSON. A secret is written {"$secret": "text"}.');
  const result = h('div', { id: 'result' });
  const condition = found ? { 'If-Match': found.etag } : { 'If-None-Match': '*' };

  input.addEventListener('input', () => {
    let wrong = '';
    try { JSON.parse(input.value); } catch (e) { wrong = e.message; }
    input.toggleAttribute('aria-invalid', Boolean(wrong));
    if (wrong) input.setAttribute('aria-invalid', 'true');
    syntax.textContent = wrong || 'JSON. A secret is written {"$secret": "text"}.';
  });
  const attempt = async (what, f) => {
    result.replaceChildren();
    try {
      await f();
      announce(what);
    } catch (e) {
      if (e.status === 412) e.message = 'Somebody was faster: it isn’t the version any more that you began with. Reload it, and do your change again.';
      result.replaceChildren(problem(e));
    }
  };
  const write = (method, extra) => ask(method, `keys/${key}?${query({ message: message.value, ...extra })}`, method === 'PUT' ? input.value : undefined, condition);
  const form = h('form', {
    onsubmit: (e) => {
      e.preventDefault();
      attempt(`${key} is saved.`, async () => { await write('PUT'); await done(); });
    },
  },
  field('Document', input), syntax, field('Why (for the history)', message),
  h('div', { class: 'row' },
    h('button', { type: 'submit' }, 'Save'),
    h('button', { type: 'button', class: 'quiet', id: 'preview', onclick: () => attempt('The preview is below.', async () => {
      const { document } = await write('PUT', { 'dry-run': 'true' });
      result.replaceChildren(h('h3', null, 'If it is saved'), ...[previewOf(document)].flat(Infinity).filter(Boolean));
    }) }, 'Preview'),
    found ? h('button', { type: 'button', class: 'grave', onclick: () => attempt(`${key} is deleted.`, async () => {
      if (!confirm(`Delete ${key}? Its history stays.`)) return;
      await write('DELETE');
      await done();
    }) }, 'Delete') : null),
  h('div', { class: 'row' },
    field('Percent of the instances', percent),
    h('button', { type: 'button', class: 'quiet', id: 'rollout', onclick: () => attempt('The rollout has begun.', async () => {
      // The document goes as it was typed, so that no number loses a digit.
      const version = found ? show(found.document.version) : '0';
      await ask('POST', 'rollouts', `{"message":${show(message.value)},"percent":${Number(percent.value)},"edits":[{"key":${show(key)},"version":${version},"value":${input.value}}]}`);
      location.hash = '#rollouts';
    }) }, 'Roll out to some first')),
  result);
  return section('Edit', form);
}

// help says what the schemas want.
function help(schemas) {
  const names = Object.keys(schemas);
  if (!names.length) return null;
  const rows = [];
  const walk = (schema, path, required) => {
    for (const [name, s] of Object.entries(schema?.properties ?? {})) {
      const rule = ['const', 'enum', 'minimum', 'maximum', 'minLength', 'maxLength', 'pattern', 'format', 'default'].filter((k) => s[k] !== undefined).map((k) => `${k} ${show(s[k])}`);
      if (required?.includes(name)) rule.unshift('required');
      rows.push(h('tr', null, h('td', { class: 'value' }, `${path}/${name}`), h('td', null, [s.type ?? 'any'].flat().join(' or ')), h('td', null, rule.join(', ')), h('td', null, s.description ?? s.title ?? '')));
      walk(s, `${path}/${name}`, s.required);
    }
  };
  for (const name of names) walk(schemas[name], '', schemas[name].required);
  return section('What its schemas want', h('p', { class: 'meta' }, names.map((n) => [h('a', { href: `#key=${n}` }, n), ' '])),
    rows.length ? table('Members that the schemas describe', ['Member', 'Type', 'Rules', 'What it is'], rows) : null);
}

function historyOf(key, commits, done) {
  const result = h('div', { 'aria-live': 'polite' });
  const rollback = async (revision) => {
    try {
      const { document } = await ask('POST', 'rollbacks', { keys: [key], to: revision, dryRun: true });
      result.replaceChildren(h('h3', null, `Back to revision ${revision}`), ...[previewOf(document)].flat(Infinity).filter(Boolean),
        ...(document.commit ? [h('button', { type: 'button', id: 'confirm', onclick: async () => {
          try {
            await ask('POST', 'rollbacks', { keys: [key], to: revision });
            announce(`${key} is back to revision ${revision}.`);
            await done();
          } catch (e) { result.replaceChildren(problem(e)); }
        } }, 'Roll back')] : []));
      result.querySelector('#confirm')?.focus();
    } catch (e) { result.replaceChildren(problem(e)); }
  };
  const revisions = commits.map((c) => Number(show(c.revision)));
  const options = () => revisions.map((r) => h('option', { value: r }, `revision ${r}`));
  const from = h('select', null, options());
  const to = h('select', null, h('option', { value: '' }, 'now'), options());
  if (revisions.length > 1) from.value = revisions[1];
  return section('History', commits.length ? [
    h('div', { class: 'row' }, field('From', from), field('To', to), h('button', { type: 'button', class: 'quiet', id: 'compare', onclick: async () => {
      try {
        const { document } = await get(`diff?${query({ key, from: from.value, to: to.value })}`);
        result.replaceChildren(diffTable('The two versions compared', document.diff));
        announce('The comparison is below.');
      } catch (e) { result.replaceChildren(problem(e)); }
    } }, 'Compare')),
    result,
    h('ol', { class: 'commits' }, commits.map((c, i) => h('li', null,
      h('p', { class: 'meta' }, `Revision ${show(c.revision)} by `, by(c)),
      changes(c),
      i > 0 ? h('div', { class: 'row' }, h('button', { type: 'button', class: 'quiet', 'data-revision': show(c.revision), onclick: () => rollback(Number(show(c.revision))) }, `Roll back to revision ${show(c.revision)}`)) : null))),
  ] : h('p', { class: 'meta' }, 'There is none.'));
}
