package browsertest

// CheckAccessible reports what a machine can tell about a page's accessibility:
// names, labels, headings, references that lead nowhere, and the contrast of
// text.
func (b *Browser) CheckAccessible() {
	b.t.Helper()
	if wrong := b.Eval(`(() => {
		const wrong = [];
		const seen = (e) => e.getClientRects().length > 0;
		for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
			if (!e.labels?.length && !e.getAttribute('aria-label')) wrong.push('no label: ' + e.outerHTML);
		for (const e of document.querySelectorAll('a, button, summary'))
			if (!(e.textContent.trim() || e.getAttribute('aria-label'))) wrong.push('no name: ' + e.outerHTML);
		for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) wrong.push('no alt: ' + e.outerHTML);
		for (const e of document.querySelectorAll('[aria-describedby], [aria-labelledby]'))
			for (const name of ['aria-describedby', 'aria-labelledby'])
				if (e.hasAttribute(name) && !document.getElementById(e.getAttribute(name))) wrong.push('dangling: ' + e.outerHTML);
		const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
		if (new Set(ids).size !== ids.length) wrong.push('an id twice');
		let level = 0;
		for (const e of document.querySelectorAll('h1, h2, h3, h4')) {
			const now = Number(e.tagName[1]);
			if (now > level + 1) wrong.push('heading skips a level: ' + e.outerHTML);
			level = now;
		}
		if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
		if (!document.documentElement.lang) wrong.push('no lang');
		const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return c.startsWith('color(') ? [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
		const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0.99) return c; } return [255, 255, 255, 1]; };
		const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		for (let n; (n = walker.nextNode());) {
			const e = n.parentElement;
			if (!n.data.trim() || !seen(e) || e.closest('.hidden, .skip, noscript, [disabled]')) continue;
			const a = light(parse(getComputedStyle(e).color)), c = light(behind(e));
			const ratio = (Math.max(a, c) + 0.05) / (Math.min(a, c) + 0.05);
			if (ratio < 4.5) wrong.push('contrast ' + ratio.toFixed(2) + ': ' + e.outerHTML.slice(0, 200));
		}
		return wrong.join('\n');
	})()`); wrong != "" {
		b.t.Errorf("accessibility: %s", wrong)
	}
}
