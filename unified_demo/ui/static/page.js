/* Behaviour of the page: hover and focus links between words, regions and masks; theme and inspector switches; running clocks.
   Listeners are delegated, so answers may be redrawn at any time. No data is fetched and nothing is stored but two preferences. */
(() => {
  "use strict";
  const lit = new WeakMap();
  const clocks = new WeakMap();
  const opened = new WeakMap();

  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode: the choice lasts until reload */ } };
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };

  function light(answer, number) {
    lit.set(answer, number);
    answer.classList.toggle("has-lit", number !== null);
    for (const element of answer.querySelectorAll("[data-object]")) {
      element.classList.toggle("is-lit", element.dataset.object === number);
    }
  }

  function onPoint(event) {
    if (!(event.target instanceof Element)) return;
    const target = event.target.closest("[data-object]");
    const answer = event.target.closest(".um-answer");
    for (const other of document.querySelectorAll(".um-answer.has-lit")) if (other !== answer || !target) light(other, null);
    if (answer && target) light(answer, target.dataset.object);
  }

  function onAction(event) {
    if (!(event.target instanceof Element)) return;
    const action = event.target.closest("[data-um]")?.dataset.um;
    if (action === "theme") {
      const dark = document.body.classList.toggle("dark");
      remember("um-theme", dark ? "dark" : "light");
    } else if (action === "inspector") {
      const open = document.body.classList.toggle("um-inspector-open");
      document.body.classList.toggle("um-inspector-closed", !open);
      remember("um-inspector", open ? "open" : "closed");
    }
    const summary = event.target.closest(".um-step > summary, .um-warnings > summary");
    if (summary) opened.set(summary.parentElement, !summary.parentElement.open);
  }

  /* Labels are placed by the server for any size; here they only give way to each other and stay inside the picture. */
  function placeLabels(stage) {
    const frame = stage.getBoundingClientRect();
    const placed = [];
    for (const label of stage.querySelectorAll(".um-label")) {
      label.style.transform = "";
      const box = label.getBoundingClientRect();
      let shift = Math.max(0, frame.top - box.top) - Math.max(0, box.bottom - frame.bottom);
      const hits = () => placed.find((other) => box.left < other.right && other.left < box.right &&
        box.top + shift < other.bottom - 1 && other.top + 1 < box.bottom + shift);
      for (let tries = 0, other = hits(); other && tries < 8; tries += 1, other = hits()) shift = other.bottom - box.top + 2;
      if (box.bottom + shift > frame.bottom) shift = frame.bottom - box.bottom;
      if (shift) label.style.transform = `translateY(${shift}px)`;
      placed.push({ left: box.left, right: box.right, top: box.top + shift, bottom: box.bottom + shift });
    }
  }

  const resizes = new ResizeObserver((entries) => entries.forEach((entry) => placeLabels(entry.target)));

  /* An update redraws attributes, so what the visitor had lit or opened is put back. */
  function settle() {
    document.querySelector(".examples[role=list]")?.removeAttribute("role"); /* a list of buttons without items confuses screen readers */
    for (const stage of document.querySelectorAll(".um-stage")) { resizes.observe(stage); placeLabels(stage); }
    for (const answer of document.querySelectorAll(".um-answer")) if (lit.get(answer)) light(answer, lit.get(answer));
    for (const details of document.querySelectorAll(".um-step, .um-warnings")) {
      if (opened.has(details) && details.open !== opened.get(details)) details.open = opened.get(details);
    }
  }

  function tick() {
    for (const clock of document.querySelectorAll('.um-clock[data-run="on"]')) {
      if (!clocks.has(clock)) clocks.set(clock, performance.now());
      clock.textContent = `${((performance.now() - clocks.get(clock)) / 1000).toFixed(1)} s`;
    }
  }

  function start() {
    const theme = recall("um-theme");
    if (theme) document.body.classList.toggle("dark", theme === "dark");
    const panel = recall("um-inspector");
    if (panel) document.body.classList.add(panel === "open" ? "um-inspector-open" : "um-inspector-closed");
    let waiting = false;
    new MutationObserver((changes) => {
      const ours = changes.some(({ target }) => !(target instanceof Element && target.closest(".um-label, .um-clock")));
      if (waiting || !ours) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; settle(); });
    }).observe(document.body, { childList: true, subtree: true });
    setInterval(tick, 100);
  }

  document.addEventListener("pointerover", onPoint);
  document.addEventListener("focusin", onPoint);
  document.addEventListener("click", onAction, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const answer of document.querySelectorAll(".um-answer.has-lit")) light(answer, null);
  });
  if (document.body) start(); else document.addEventListener("DOMContentLoaded", start);
})();
