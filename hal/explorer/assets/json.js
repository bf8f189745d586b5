// Pretty printing of JSON text. It works on the text, not on parsed values, so
// that numbers beyond double precision and doubled members are shown as sent.

import { h } from './dom.js';

const token = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\],:]|\s+|./gs;

// pretty returns nodes; link(text) makes the href of a member "href", or null.
export function pretty(text, link) {
  const out = h('code', { class: 'json' });
  const stack = [];
  let key = '';
  let afterColon = false;
  const tokens = (text.match(token) || []).filter((t) => t.trim() !== '');
  const newline = () => out.append('\n' + '  '.repeat(stack.length));
  tokens.forEach((t, i) => {
    switch (t[0]) {
      case '{':
      case '[': {
        stack.push(t);
        out.append(t);
        afterColon = false;
        const closing = tokens[i + 1];
        if (closing !== '}' && closing !== ']') newline();
        return;
      }
      case '}':
      case ']': {
        stack.pop();
        const opening = tokens[i - 1];
        if (opening !== '{' && opening !== '[') newline();
        out.append(t);
        afterColon = false;
        return;
      }
      case ',':
        out.append(',');
        newline();
        afterColon = false;
        return;
      case ':':
        out.append(': ');
        afterColon = true;
        return;
      case '"': {
        if (stack.at(-1) === '{' && !afterColon) {
          key = t;
          out.append(h('span', { class: 'key' }, t));
          return;
        }
        const href = key === '"href"' ? link(t) : null;
        out.append(href ? h('a', { href, class: 'str' }, t) : h('span', { class: 'str' }, t));
        afterColon = false;
        return;
      }
      default:
        out.append(h('span', { class: /^[-\d]/.test(t) ? 'num' : 'lit' }, t));
        afterColon = false;
    }
  });
  return h('pre', { tabindex: '0', 'aria-label': 'Document as JSON' }, out);
}
