// URI templates (RFC 6570, level 4).

const operators = {
  '': { first: '', sep: ',', named: false, empty: '', reserved: false },
  '+': { first: '', sep: ',', named: false, empty: '', reserved: true },
  '#': { first: '#', sep: ',', named: false, empty: '', reserved: true },
  '.': { first: '.', sep: '.', named: false, empty: '', reserved: false },
  '/': { first: '/', sep: '/', named: false, empty: '', reserved: false },
  ';': { first: ';', sep: ';', named: true, empty: '', reserved: false },
  '?': { first: '?', sep: '&', named: true, empty: '=', reserved: false },
  '&': { first: '&', sep: '&', named: true, empty: '=', reserved: false },
};

const expression = /\{([+#./;?&]?)([^{}]+)\}/g;

function encode(text, reserved) {
  const strict = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
  if (!reserved) return strict(text);
  return text.replace(/%[0-9A-Fa-f]{2}|[^]/gu, (c) => (/^(%..|[\w.~:/?#[\]@!$&'()*+,;=-])$/.test(c) ? c : strict(c)));
}

function specs(list) {
  return list.split(',').map((spec) => {
    const m = /^(.+?)(?::(\d+)|(\*))?$/.exec(spec.trim());
    return { name: m[1], max: m[2] ? Number(m[2]) : 0, explode: Boolean(m[3]) };
  });
}

// variables returns the names in a template, each once; many says that a
// variable takes a list.
export function variables(template) {
  const seen = new Map();
  for (const [, , list] of template.matchAll(expression)) {
    for (const { name, explode } of specs(list)) if (!seen.has(name)) seen.set(name, { name, many: explode });
  }
  return [...seen.values()];
}

// expand fills in a template; a value is a text or a list of texts.
export function expand(template, values) {
  return template.replace(expression, (_, op, list) => {
    const how = operators[op];
    const parts = [];
    for (const { name, max, explode } of specs(list)) {
      const value = values[name];
      if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) continue;
      const texts = (Array.isArray(value) ? value : [value]).map((v) => encode(max ? [...v].slice(0, max).join('') : v, how.reserved));
      const named = (text) => (how.named ? name + (text === '' ? how.empty : '=' + text) : text);
      if (explode) parts.push(...texts.map(named));
      else parts.push(named(texts.join(',')));
    }
    return parts.length ? how.first + parts.join(how.sep) : '';
  });
}
