/* Behaviour of the page: hover and focus links between words, regions and masks; theme and inspector switches; running clocks.
   Listeners are delegated, so answers may be redrawn at any time. No data is fetched and nothing is stored but two preferences. */
(() => {
  "use strict";
  const lit = new WeakMap();
  const clocks = new WeakMap();
  const opened = new WeakMap();
  const etas = new WeakMap();
  const labelled = new WeakMap(); /* how a picture and its labels looked when they were placed: measuring all at every word is slow */
  let arrived = false;
  let attached = "";
  let asked = 0;
  let following = true;
  let scrolled = 0;
  let pressed = false;
  let bottoms = []; /* [when, how far the conversation could be scrolled], of late */
  let goal = Infinity;
  let typed = ""; /* since a message was sent */
  let sending = false;
  let next = false; /* another one shall follow */
  const NEAR_END = 80; /* pixels */
  const LATE_MS = 300;

  /* The server hears at once when this window goes and when it is here again, so that it knows a reload from a closed tab. */
  function presence(word) {
    const key = sessionStorage.getItem("um-conversation") ?? "";
    const page = document.querySelector("#um-kept nav")?.dataset.window ?? "";
    if (key || page) navigator.sendBeacon("gradio_api/run/presence", new Blob([JSON.stringify({ data: [key, word, page] })], { type: "application/json" }));
  }
  presence("here");
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    presence("here");
    attached = ""; /* its files were read no longer */
  });
  addEventListener("pagehide", () => {
    presence("leaving");
    const written = document.querySelector("#um-composer textarea")?.value;
    if (written) sessionStorage.setItem("um-written", written);
  });

  /* An upload that breaks (its file was moved, the network failed) is not told by Gradio. */
  const fetched = window.fetch;
  window.fetch = async (...request) => {
    const upload = String(request[0]?.url ?? request[0]).includes("/upload?");
    const lost = () => { if (upload) document.dispatchEvent(new CustomEvent("um:lost", { detail: {} })); };
    try {
      const answer = await fetched(...request);
      if (!answer.ok) lost();
      return answer;
    } catch (error) {
      lost();
      throw error;
    }
  };

  /* A recording that is attached before its wave is drawn: the recorder stops fetching it, and means no error by that. */
  addEventListener("unhandledrejection", (event) => { if (event.reason?.name === "AbortError") event.preventDefault(); });

  /* What stood in the composer when the window was reloaded, or lost its connection, stands there again. */
  function rewrite() {
    const field = document.querySelector("#um-composer textarea");
    const written = sessionStorage.getItem("um-written");
    sessionStorage.removeItem("um-written");
    if (!written || !field || field.value) return;
    field.value = written;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /* While a message is on its way Gradio would drop the next one, and when the server has taken it the composer is emptied: what was
     typed since then stands there again, and if Enter was pressed it goes when its turn has come. */
  function onType(event) {
    const { type, key, shiftKey, target } = event;
    if (!(target instanceof Element)) return;
    const written = target.matches("#um-composer textarea");
    if (type === "input" && written) typed = target.value;
    if ((type === "keydown" && key === "Enter" && !shiftKey && written) || (type === "click" && target.closest("#um-composer .submit-button"))) {
      retype(); /* emptied just now, and not told yet */
      if (!sending) return;
      next = Boolean(typed);
      event.preventDefault();
      event.stopPropagation();
    }
  }

  function onSending() {
    sending = true;
    typed = "";
  }

  function onSent() {
    const field = document.querySelector("#um-composer textarea");
    sending = false;
    if (next && field?.value) field.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true, cancelable: true }));
    next = false;
  }

  function retype() {
    const field = document.querySelector("#um-composer textarea");
    if (!field || field.value || !typed) return;
    field.value = typed;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

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

  function speak(language) {
    document.documentElement.lang = language;
    document.dispatchEvent(new CustomEvent("um:speak", { detail: { language } }));
  }

  function onAction(event) {
    if (!(event.target instanceof Element)) return;
    const action = event.target.closest("[data-um]")?.dataset.um;
    if (action === "theme") {
      const dark = document.body.classList.toggle("dark");
      remember("um-theme", dark ? "dark" : "light");
    } else if (action === "language") {
      const language = event.target.closest("[data-um]").dataset.now === "zh" ? "en" : "zh";
      remember("um-language", language);
      speak(language);
    } else if (action === "history") {
      document.body.classList.toggle("um-history-open");
    } else if (action === "inspector") {
      const open = document.body.classList.toggle("um-inspector-open");
      document.body.classList.toggle("um-inspector-closed", !open);
      remember("um-inspector", open ? "open" : "closed");
    }
    const summary = event.target.closest(".um-step > summary, .um-warnings > summary, .um-terms > summary");
    if (summary) opened.set(summary.parentElement, !summary.parentElement.open);
  }

  /* A file in the composer that the browser cannot show stands there by the ending of its name, not as a broken picture. */
  function onThumbnail(event) {
    const item = event.target instanceof HTMLImageElement && event.target.closest("#um-composer .thumbnail-item");
    if (!item) return;
    const name = decodeURIComponent(event.target.src.split("/").pop());
    if (event.type === "load") { delete item.dataset.unseen; item.removeAttribute("title"); return; }
    item.dataset.unseen = name.split(".").pop().slice(0, 4).toUpperCase();
    item.title = name;
  }

  /* Labels are placed by the server for any size; here they give way to each other and stay inside the picture: of all places above,
     below and beside, the nearest that is free. Where there is none, the label hides until its thing is lit. */
  function placeLabels(stage) {
    const labels = [...stage.querySelectorAll(".um-label")];
    const looks = () => `${stage.clientWidth} ${stage.clientHeight} ${labels.map((label) => label.outerHTML).join("")}`;
    if (!labels.length || labelled.get(stage) === looks()) return;
    const frame = stage.getBoundingClientRect();
    const placed = [];
    for (const label of labels) {
      label.style.transform = "";
      label.classList.remove("is-crowded");
      const box = label.getBoundingClientRect();
      const free = ({ x, y }) => placed.every((other) => box.right + x <= other.left || other.right <= box.left + x ||
        box.bottom + y <= other.top || other.bottom <= box.top + y);
      const xs = new Set([0, frame.left - box.left, frame.right - box.right]);
      const ys = new Set([0]);
      for (const other of placed) {
        xs.add(other.right + 2 - box.left).add(other.left - 2 - box.right);
        ys.add(other.bottom + 2 - box.top).add(other.top - 2 - box.bottom);
      }
      const spots = [];
      for (const x of xs) for (const y of ys) {
        const spot = { x: Math.min(Math.max(x, frame.left - box.left), frame.right - box.right),
          y: Math.min(Math.max(y, frame.top - box.top), frame.bottom - box.bottom) };
        if (free(spot)) spots.push(spot);
      }
      spots.sort((one, other) => Math.hypot(one.x, one.y) - Math.hypot(other.x, other.y));
      if (!spots.length) { label.classList.add("is-crowded"); continue; }
      const { x, y } = spots[0];
      if (x || y) label.style.transform = `translate(${x}px, ${y}px)`;
      placed.push({ left: box.left + x, right: box.right + x, top: box.top + y, bottom: box.bottom + y });
    }
    labelled.set(stage, looks());
  }

  const resizes = new ResizeObserver((entries) => entries.forEach((entry) => placeLabels(entry.target)));

  /* Who is at the end of the conversation stays there, whatever is written, loaded, or takes room below it; who has scrolled up stays there.
     What is pressed is under the pointer until it is released, else nothing would be clicked. Gradio's own autoscroll heeds neither. */
  function followEnd() {
    const room = document.querySelector("#um-conversation .message-wrap")?.parentElement;
    if (room && following && !pressed) room.scrollTop = room.scrollHeight;
  }

  /* The conversation grows while somebody scrolls to its end: the end is where it was when the wheel, key or finger moved, or some drawings
     before on a busy machine. */
  function noteBottom() {
    const room = document.querySelector("#um-conversation .message-wrap")?.parentElement;
    const now = performance.now();
    bottoms = bottoms.filter(([when], place) => place === bottoms.length - 1 || now - when < LATE_MS);
    if (room) bottoms.push([now, room.scrollHeight - room.clientHeight]);
  }

  const lately = () => Math.min(...bottoms.map(([, bottom]) => bottom));
  const noteGoal = ({ type, key }) => { if (type !== "keydown" || ["End", "PageDown", "ArrowDown", " "].includes(key)) goal = lately(); };

  /* Gradio's button that leads to the end lies over the conversation and not in it: a wheel that turns there would move nothing. */
  function onWheel(event) {
    const { target, deltaY } = event;
    noteGoal(event);
    if (target instanceof Element && target.closest("#um-conversation .scroll-down-button-container")) document.querySelector("#um-conversation .bubble-wrap")?.scrollBy(0, deltaY);
  }

  const ends = new ResizeObserver(() => { noteBottom(); followEnd(); });

  function onScroll({ target }) {
    if (!(target instanceof Element) || !target.matches("#um-conversation .bubble-wrap")) return;
    const { scrollTop } = target;
    if (scrollTop < scrolled) goal = Infinity;
    if (scrollTop < scrolled) following = scrollTop >= target.scrollHeight - target.clientHeight - 1; /* what shrinks ends where it is scrolled to */
    else if (scrollTop > scrolled) following ||= scrollTop > Math.min(goal, lately()) - NEAR_END;
    scrolled = scrollTop;
  }

  function onPress(event) {
    pressed = event.type === "pointerdown" && event.target instanceof Element && Boolean(event.target.closest("button, a, summary"));
    if (!pressed) requestAnimationFrame(followEnd);
  }

  /* Who asks wants to see the answer, wherever the conversation was scrolled to; not who asks for earlier messages. */
  function showQuestion() {
    const unseen = Number(document.querySelector(".um-earlier")?.dataset.answers ?? 0);
    const questions = unseen + document.querySelectorAll("#um-conversation .um-question").length;
    following ||= questions > asked;
    if (questions > asked) followEnd();
    asked = questions;
  }

  /* An update redraws attributes, so what the visitor had lit or opened is put back. */
  function settle() {
    document.querySelector(".examples[role=list]")?.removeAttribute("role"); /* a list of buttons without items confuses screen readers */
    for (const item of document.querySelectorAll("#um-composer [role=listitem]")) item.setAttribute("role", "group"); /* and so do items without a list */
    for (const stage of document.querySelectorAll(".um-stage")) { resizes.observe(stage); placeLabels(stage); }
    for (const part of document.querySelectorAll("#um-conversation :is(.bubble-wrap, .message-wrap)")) ends.observe(part);
    for (const answer of document.querySelectorAll(".um-answer")) if (lit.get(answer)) light(answer, lit.get(answer));
    window.umSettle?.();
    const files = [...document.querySelectorAll("#um-composer .thumbnail-item")].map((item) => item.querySelector("img")?.src ?? item.textContent).join("|");
    if (files !== attached) document.dispatchEvent(new CustomEvent("um:attach", { detail: {} }));
    attached = files;
    showQuestion();
    const current = document.querySelector("#um-kept nav")?.dataset.current;
    if (current) sessionStorage.setItem("um-conversation", current); else if (current === "" && arrived) sessionStorage.removeItem("um-conversation");
    for (const details of document.querySelectorAll(".um-step, .um-warnings, .um-terms")) {
      if (opened.has(details) && details.open !== opened.get(details)) details.open = opened.get(details);
    }
  }

  function tick() {
    for (const clock of document.querySelectorAll('.um-clock[data-run="on"]')) {
      if (!clocks.has(clock)) clocks.set(clock, performance.now());
      clock.textContent = `${((performance.now() - clocks.get(clock)) / 1000).toFixed(1)} s`;
    }
    for (const eta of document.querySelectorAll(".um-eta")) {
      if (etas.get(eta)?.told !== eta.dataset.eta) etas.set(eta, { told: eta.dataset.eta, at: performance.now() });
      const rest = Number(eta.dataset.eta) - (performance.now() - etas.get(eta).at) / 1000;
      eta.textContent = `−${Math.max(0, rest).toFixed(0)} s`;
    }
  }

  function start() {
    const theme = recall("um-theme");
    if (theme) document.body.classList.toggle("dark", theme === "dark");
    const panel = recall("um-inspector");
    if (panel) document.body.classList.add(panel === "open" ? "um-inspector-open" : "um-inspector-closed");
    let waiting = false;
    new MutationObserver((changes) => {
      const ours = changes.some(({ target }) => !(target instanceof Element && target.closest(".um-label, .um-clock, .um-eta, .um-marks, .um-stage, #um-viewer")));
      if (waiting || !ours) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; settle(); });
    }).observe(document.body, { childList: true, subtree: true });
    setInterval(tick, 200);
  }

  /* A reload shows the conversation that was open in this window. */
  document.addEventListener("um:composed", retype);
  document.addEventListener("um:sending", onSending);
  document.addEventListener("um:sent", onSent);
  document.addEventListener("um:arrived", () => {
    const key = sessionStorage.getItem("um-conversation");
    if (key) document.dispatchEvent(new CustomEvent("um:open", { detail: { key } }));
    const language = recall("um-language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
    if (language !== "en") speak(language);
    rewrite();
    arrived = true;
  });
  /* Ctrl+K: conversations; /: the composer; Escape: stop the answer (an open viewer only closes). */
  function onShortcut(event) {
    const typing = event.target instanceof Element && event.target.closest("input, textarea");
    if (event.key === "k" && (event.ctrlKey || event.metaKey)) {
      if (document.body.classList.toggle("um-history-open")) document.querySelector("#um-search :is(input, textarea)")?.focus();
    } else if (event.key === "/" && !typing) document.querySelector("#um-composer textarea")?.focus();
    else if (event.key === "Escape" && !document.querySelector("dialog[open]")) document.querySelector("#um-composer .input-row .stop-button")?.click();
    else return;
    event.preventDefault();
  }

  document.addEventListener("keydown", onShortcut);
  for (const name of ["input", "keydown", "click"]) document.addEventListener(name, onType, true);
  document.addEventListener("error", onThumbnail, true);
  document.addEventListener("load", onThumbnail, true);
  document.addEventListener("scroll", onScroll, true);
  document.addEventListener("wheel", onWheel, { capture: true, passive: true });
  for (const name of ["keydown", "touchmove"]) document.addEventListener(name, noteGoal, { capture: true, passive: true });
  for (const name of ["pointerdown", "pointerup", "pointercancel"]) document.addEventListener(name, onPress, true);
  document.addEventListener("pointerover", onPoint);
  document.addEventListener("focusin", onPoint);
  document.addEventListener("click", onAction, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const answer of document.querySelectorAll(".um-answer.has-lit")) light(answer, null);
  });
  if (document.body) start(); else document.addEventListener("DOMContentLoaded", start);
})();
