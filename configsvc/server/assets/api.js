const root = new URL('../', location.href.split('#')[0]);

// exact parses JSON and keeps every digit of its numbers.
export function exact(text) {
  return JSON.parse(text, (_, v, context) => (typeof v === 'number' && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : v));
}

export const show = (value) => (value === undefined ? '' : JSON.stringify(value));

// Problem is what the service answers when it refuses.
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service answered ${status}.`);
    this.status = status;
    this.problems = (body.problems ?? []).map((p) => [p.key, p.path, p.detail].filter(Boolean).join(' '));
  }
}

// ask sends a request and returns the document and the response.
export async function ask(method, path, body, headers = {}) {
  const init = { method, headers: { Accept: 'application/hal+json', ...headers }, cache: 'no-cache' };
  if (body !== undefined) {
    init.body = typeof body === 'string' ? body : JSON.stringify(body);
    init.headers['Content-Type'] = 'application/json';
  }
  let response;
  try {
    response = await fetch(new URL(path, root), init);
  } catch {
    throw new Problem(0, { detail: 'The service can’t be reached.' });
  }
  const text = await response.text();
  let document = {};
  try {
    if (text) document = exact(text);
  } catch {
    document = { detail: text.slice(0, 200) };
  }
  if (!response.ok) throw new Problem(response.status, document);
  return { document, etag: response.headers.get('ETag') };
}

export const get = (path) => ask('GET', path);

export const query = (values) => new URLSearchParams(Object.entries(values).filter(([, v]) => v !== '' && v !== undefined && v !== null)).toString();
