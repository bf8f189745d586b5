// Keeps the page current, once a second while somebody looks at it.
const live = document.getElementById("live");
const lost = document.getElementById("lost");

async function again() {
  // What somebody is selecting or has the focus on isn't taken away.
  const busy = document.hidden || !getSelection().isCollapsed || live.contains(document.activeElement);
  if (!busy) {
    try {
      const answer = await fetch("?part=live", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(answer.statusText);
      const scrolled = live.querySelector(".changes")?.scrollTop ?? 0;
      live.innerHTML = await answer.text(); // the server has escaped it
      const changes = live.querySelector(".changes");
      if (changes) changes.scrollTop = scrolled;
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }
  setTimeout(again, 1000);
}

setTimeout(again, 1000);
