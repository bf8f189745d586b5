// Calls to the API: by the browser where it is of the page's own origin, by
// the page's handler where it is one of those that the handler may call.

const meta = (name) => document.querySelector(`meta[name="explorer-${name}"]`)?.content ?? '';

export const start = new URL(meta('start'), location.href).href;
const origins = new Set(meta('origins').split(' ').filter(Boolean));

const accept = 'application/prs.hal-forms+json, application/hal+json;q=0.9, application/json;q=0.8, */*;q=0.1';

// call sends one request and returns {status, statusText, url, headers, body,
// millis}; headers are pairs. It throws an Error with a sentence.
export async function call(method, url, { headers = {}, body = '', fresh = false } = {}) {
  const sent = { Accept: accept, ...headers };
  if (fresh) sent['Cache-Control'] = 'no-cache';
  const target = new URL(url);
  if (target.origin === location.origin && !origins.has(target.origin)) return direct(method, target.href, sent, body, fresh);
  let response;
  try {
    response = await fetch('call', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ method, url: target.href, headers: sent, body }),
    });
  } catch {
    throw new Error('The explorer itself does not answer.');
  }
  const answer = await response.json();
  if (!response.ok) throw new Error([answer.title, answer.detail].filter(Boolean).join(': '));
  return answer;
}

async function direct(method, url, headers, body, fresh) {
  const began = performance.now();
  let response;
  try {
    response = await fetch(url, { method, headers, body: body || undefined, redirect: 'follow', cache: fresh ? 'reload' : 'default' });
  } catch (e) {
    throw new Error(`The API does not answer: ${e.message}`);
  }
  const text = await response.text();
  return {
    status: response.status,
    statusText: response.statusText,
    url: response.url || url,
    headers: [...response.headers].map(([name, value]) => [name.replace(/(^|-)[a-z]/g, (c) => c.toUpperCase()), value]),
    body: text,
    millis: performance.now() - began,
  };
}

// field returns the values of a header field, joined.
export function field(answer, name) {
  const wanted = name.toLowerCase();
  return answer.headers.filter(([n]) => n.toLowerCase() === wanted).map(([, v]) => v).join(', ');
}
