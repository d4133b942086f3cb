// Fetches the part of the page that changes, every two seconds while somebody looks at it.
'use strict';

const PAUSE = 2000;
const shown = document.querySelector('main');
const connection = document.getElementById('connection');
let known = '';

function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} d ago`;
}

function showTimes() {
  for (const each of document.querySelectorAll('time')) {
    const then = new Date(each.dateTime);
    each.title = then.toLocaleString();
    each.textContent = ago((Date.now() - then) / 1000);
  }
}

function show(state, text) {
  connection.className = state;
  connection.textContent = text;
}

async function look() {
  const answer = await fetch('status', {cache: 'no-store', headers: known ? {'If-None-Match': known} : {}});
  if (answer.status === 200) {
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    shown.replaceChildren(...page.body.childNodes);
    known = answer.headers.get('ETag') || '';
  } else if (answer.status !== 304) {
    throw new Error(`status ${answer.status}`);
  }
}

async function follow() {
  if (!document.hidden) {
    try {
      await look();
      show('live', 'live');
    } catch {
      show('lost', 'no connection');
    }
    showTimes();
  }
  setTimeout(follow, PAUSE);
}

follow();
