// Runs the HTTP cache tests against one proxy: starts their origin, says where
// it listens, reads the proxy's URL from standard input, and prints every test
// with its result as one line of JSON. Everything else goes to standard error.
//
//   node run.mjs [TEST-ID…]
//
// With test ids only these run, and each request and response is shown.

import http from 'node:http'
import readline from 'node:readline'

console.log = console.error

const suite = 'http-cache-tests'
const [{ default: config }, { default: test }, { default: state }, { runTests, getResults }, { default: suites }, { default: surrogate }, { default: fetch }] = await Promise.all([
  import(`${suite}/server/handle-config.mjs`),
  import(`${suite}/server/handle-test.mjs`),
  import(`${suite}/server/handle-state.mjs`),
  import(`${suite}/client/runner.mjs`),
  import(`${suite}/tests/index.mjs`),
  import(`${suite}/tests/surrogate-control.mjs`),
  import('node-fetch')
])

const handlers = { config, test, state }
const origin = http.createServer((request, response) => {
  const [, name, ...rest] = new URL(request.url, 'http://origin/').pathname.split('/')
  if (name in handlers) {
    handlers[name](rest, request, response)
    return
  }
  response.writeHead(404)
  response.end()
})
await new Promise(resolve => origin.listen(0, '127.0.0.1', resolve))
say({ origin: `http://127.0.0.1:${origin.address().port}` })

const input = readline.createInterface({ input: process.stdin })
const base = await new Promise((resolve, reject) => {
  input.once('line', resolve)
  input.once('close', () => reject(new Error('no proxy URL on standard input')))
})

const wanted = process.argv.slice(2)
const all = [...suites, surrogate]
const described = []
for (const s of all) {
  s.tests = s.tests.filter(t => wanted.length === 0 || wanted.includes(t.id))
  for (const t of s.tests) {
    described.push({
      suite: s.id,
      suite_name: s.name,
      id: t.id,
      name: t.name,
      kind: t.kind || 'required',
      depends_on: t.depends_on || []
    })
    t.dump = wanted.length > 0
    asPrivateCache(t)
  }
}
await runTests(all, fetch, false, base)
const results = getResults()
for (const d of described) {
  const result = results[d.id]
  d.passed = result === true
  if (Array.isArray(result)) [d.error, d.message] = result
}
// Connections to the origin may stay open; what was said must arrive first.
say({ tests: described }, () => process.exit(0))

function say (value, then) {
  process.stdout.write(JSON.stringify(value) + '\n', then)
}

// A private cache is what a browser has, so the tests for browsers apply. Where
// one asks fetch for the cache mode "no-cache", it means the request header that
// a browser then sends.
function asPrivateCache (t) {
  delete t.browser_only
  for (const r of t.requests) {
    if (r.cache === 'no-cache') {
      delete r.cache
      r.request_headers = [...(r.request_headers || []), ['Cache-Control', 'max-age=0']]
    }
  }
}
