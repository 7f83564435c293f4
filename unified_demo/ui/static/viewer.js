/* Marking regions and looking closely: drag a box, paint or click on any picture of the conversation or the composer; the viewer shows one
   large, for touch and keyboard too. What is marked goes to the server as an event and comes back as a chip, from which it is drawn here. */
(() => {
  "use strict";
  const SLIP = 5; /* pixels: a shorter drag is a click */
  const STEP = 0.02;
  const BRUSHES = [0.01, 0.12]; /* least and greatest radius as a share of the picture's shorter side */
  const BADGE_ROOM = 0.08; /* the letter stands above what was painted where so much of the picture is free there */
  const FIRST_FRAME_S = 0.3; /* the boxes of a video are those of its first frame */
  let drag = null;
  let viewer = null;
  let keyBox = null;
  let tool = "box";
  let brush = 0.035;

  const send = (name, detail) => document.dispatchEvent(new CustomEvent(`um:${name}`, { detail }));
  const clip = (value) => Math.min(1, Math.max(0, value));
  const inViewer = (element) => Boolean(element.closest("#um-viewer"));

  function place(stage, event) {
    const frame = stage.getBoundingClientRect();
    return [clip((event.clientX - frame.left) / frame.width), clip((event.clientY - frame.top) / frame.height)];
  }

  const ordered = ([x0, y0], [x1, y1]) => [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];

  function outline(box, letter, kind) {
    const element = document.createElement("i");
    element.className = `um-outline ${kind}`;
    Object.assign(element.style, { left: `${100 * box[0]}%`, top: `${100 * box[1]}%`, width: `${100 * (box[2] - box[0])}%`, height: `${100 * (box[3] - box[1])}%` });
    if (letter) element.dataset.letter = letter;
    return element;
  }

  function sheet(kind, width, height) {
    const paint = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    paint.setAttribute("class", `um-stroke ${kind}`);
    paint.setAttribute("viewBox", `0 0 ${width} ${height}`);
    paint.setAttribute("preserveAspectRatio", "none");
    return paint;
  }

  /* The brush's stroke in pixels of the stage, as the chip will have it. */
  function painted({ stage, points }) {
    const { width, height } = stage.getBoundingClientRect();
    const paint = sheet("um-rubber", width, height);
    const group = document.createElementNS(paint.namespaceURI, "g");
    const line = document.createElementNS(paint.namespaceURI, "polyline");
    group.setAttribute("class", "um-paint");
    line.setAttribute("points", points.map(([x, y]) => `${x * width},${y * height}`).join(" "));
    line.setAttribute("stroke-width", 2 * brush * Math.min(width, height));
    group.append(line);
    paint.append(group);
    return paint;
  }

  /* What a chip says was marked: a box, or the paint that lies over its small cut-out. */
  function shapes(chip, kind) {
    const paint = chip.querySelector(".um-paint");
    const box = outline(boxOf(chip), chip.closest("#um-chips") ? chip.dataset.letter : "", paint ? `${kind} um-painted` : kind);
    if (!paint) return [box];
    box.classList.toggle("um-low", boxOf(chip)[1] > BADGE_ROOM);
    const picture = chip.querySelector(".um-crop image");
    const shown = sheet(kind.includes("um-hint") ? "um-hint" : "", picture.getAttribute("width"), picture.getAttribute("height"));
    shown.append(paint.cloneNode(true));
    return [shown, box];
  }

  const artefactOf = (stage) => stage.closest("[data-artefact]").dataset.artefact;

  function onDown(event) {
    const stage = event.target instanceof Element && event.target.closest('[data-kind="img"] .um-stage');
    if (!stage || event.button !== 0 || !event.isPrimary || event.target.closest("button, a") || (event.pointerType !== "mouse" && !inViewer(stage))) return;
    drag = { stage, pointer: event.pointerId, from: place(stage, event), points: [place(stage, event)], x: event.clientX, y: event.clientY, rubber: null };
    stage.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  function onMove(event) {
    if (event.pointerId !== drag?.pointer) return; /* a second finger means nothing */
    if (!drag.rubber && Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < SLIP) return;
    drag.rubber?.remove();
    drag.points.push(place(drag.stage, event));
    drag.rubber = tool === "brush" ? painted(drag) : outline(ordered(drag.from, place(drag.stage, event)), "", "um-rubber");
    drag.stage.append(drag.rubber);
  }

  function onUp(event) {
    if (event.pointerId !== drag?.pointer) return;
    const { stage, from, rubber, points } = drag;
    drag = null;
    rubber?.remove();
    const artefact = artefactOf(stage);
    if (rubber && tool === "brush") send("mark", { artefact, stroke: [...points, place(stage, event)], radius: brush });
    else if (rubber) send("mark", { artefact, box: ordered(from, place(stage, event)) });
    else send("mark", { artefact, point: from });
    if (!inViewer(stage) && event.pointerType === "mouse") document.querySelector("#um-composer textarea")?.focus({ preventScroll: true });
  }

  function onCancel(event) {
    if (event.pointerId !== drag?.pointer) return;
    drag.rubber?.remove();
    drag = null;
  }

  /* ---- outlines of the chips ---- */

  const boxOf = (chip) => chip.dataset.box.split(",").map(Number);

  function drawMarks() {
    const chips = [...document.querySelectorAll("#um-chips .um-marked[data-box]")].filter((chip) => chip.dataset.box);
    const told = chips
      .map((chip) => `${chip.dataset.letter} ${chip.dataset.artefact} ${chip.dataset.box} ${chip.querySelectorAll(".um-paint *").length}`)
      .join("|");
    for (const holder of document.querySelectorAll(".um-marks")) {
      if (holder.dataset.told === told && (holder.childElementCount || !told)) continue;
      holder.dataset.told = told;
      const own = chips.filter((chip) => chip.dataset.artefact === artefactOf(holder));
      holder.replaceChildren(...own.flatMap((chip) => shapes(chip, "um-pending")));
    }
  }

  function onPoint(event) {
    document.querySelectorAll(".um-hint").forEach((element) => element.remove());
    const said = event.target instanceof Element && event.target.closest(".um-question .um-marked[data-box]");
    if (!said) return;
    for (const stage of document.querySelectorAll(`[data-artefact="${CSS.escape(said.dataset.artefact)}"] .um-stage`)) {
      stage.append(...shapes(said, "um-pending um-hint"));
    }
  }

  /* ---- the viewer ---- */

  function openViewer(figure) {
    closeViewer();
    viewer = document.createElement("dialog");
    viewer.id = "um-viewer";
    viewer.dataset.artefact = figure.dataset.artefact;
    viewer.dataset.kind = figure.dataset.kind;
    viewer.classList.toggle("um-of-data", figure.classList.contains("um-data"));
    viewer.style.cssText = figure.style.cssText;
    viewer.setAttribute("aria-labelledby", "um-viewer-title");
    const words = document.querySelector("#um-words")?.dataset ?? {};
    viewer.innerHTML = `<header><h2 id="um-viewer-title"></h2><p></p><button type="button" class="um-close"></button></header>
      <div class="um-viewer-room"></div><footer><span class="um-tools-choice" role="radiogroup"><label><input type="radio" name="um-tool" value="box"><span></span></label>
      <label><input type="radio" name="um-tool" value="brush"><span></span></label></span><label class="um-opacity um-brush"><span></span><input type="range" min="0" max="100"></label>
      <label class="um-layer"><input type="checkbox" checked data-layer="shapes"><span></span></label>
      <label class="um-layer"><input type="checkbox" checked data-layer="labels"><span></span></label>
      <label class="um-opacity um-fill"><span></span><input type="range" min="0" max="100"></label></footer>`;
    const text = (selector, value) => { viewer.querySelector(selector).textContent = value; };
    text("h2", figure.dataset.artefact);
    const choose = (name) => {
      tool = name;
      document.body.classList.toggle("um-painting", tool === "brush");
      text("header p", figure.dataset.kind !== "img" ? "" : tool === "brush" ? words.paint : words.how);
      viewer.querySelector(".um-brush").hidden = figure.dataset.kind !== "img" || tool !== "brush";
    };
    const choice = viewer.querySelector(".um-tools-choice");
    choice.setAttribute("aria-label", words.tool);
    choice.hidden = figure.dataset.kind !== "img";
    for (const one of choice.querySelectorAll("input")) {
      one.nextElementSibling.textContent = words[one.value];
      one.checked = one.value === tool;
      one.addEventListener("change", () => choose(one.value));
    }
    choose(tool);
    const told = (fact) => [...fact.querySelectorAll("small")].map((end) => end.textContent).join(" – ") || fact.textContent;
    if (viewer.classList.contains("um-of-data")) text("header p", [...figure.querySelectorAll("figcaption > span:not(.um-tools)")].map(told).join(" · "));
    text('[data-layer="shapes"] + span', words.shapes);
    text('[data-layer="labels"] + span', words.labels);
    text(".um-fill span", words.opacity);
    text(".um-brush span", words.size);
    text(".um-close", words.close);
    const stage = figure.querySelector(".um-stage").cloneNode(true);
    stage.querySelector(".um-marks").dataset.told = "";
    if (figure.dataset.kind === "img") {
      stage.tabIndex = 0;
      stage.setAttribute("role", "application");
      stage.setAttribute("aria-label", words.keys);
    }
    viewer.querySelector(".um-viewer-room").append(stage);
    const recipe = figure.querySelector(".um-recipe");
    if (recipe?.childElementCount) {
      const told = recipe.cloneNode(true);
      told.hidden = false;
      viewer.querySelector("footer").before(told);
    }
    const [least, greatest] = BRUSHES;
    const size = viewer.querySelector(".um-brush input");
    size.value = 100 * Math.sqrt((brush - least) / (greatest - least));
    size.addEventListener("input", () => { brush = least + (greatest - least) * (size.value / 100) ** 2; });
    const opacity = viewer.querySelector(".um-fill input");
    opacity.value = getComputedStyle(document.documentElement).getPropertyValue("--um-fill") || 42;
    opacity.addEventListener("input", () => document.documentElement.style.setProperty("--um-fill", opacity.value));
    viewer.addEventListener("change", (event) => {
      const layer = event.target.dataset.layer;
      if (layer) viewer.classList.toggle(`um-without-${layer}`, !event.target.checked);
    });
    viewer.addEventListener("close", closeViewer);
    viewer.querySelector(".um-close").addEventListener("click", () => viewer?.close());
    document.body.append(viewer);
    viewer.showModal();
    stage.focus();
    drawMarks();
  }

  function closeViewer() {
    keyBox = null;
    viewer?.remove();
    viewer = null;
  }

  function onKey(event) {
    const stage = event.target instanceof Element && event.target.closest('#um-viewer[data-kind="img"] .um-stage');
    if (!stage) return;
    const [x, y] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] ?? [0, 0];
    if (x || y) {
      keyBox ??= [0.35, 0.35, 0.65, 0.65];
      const [left, top, right, bottom] = keyBox;
      if (event.shiftKey) keyBox = [left, top, Math.max(left + STEP, clip(right + x)), Math.max(top + STEP, clip(bottom + y))];
      else if (left + x >= 0 && right + x <= 1 && top + y >= 0 && bottom + y <= 1) keyBox = [left + x, top + y, right + x, bottom + y];
    } else if (event.key === "Enter" && keyBox) {
      send("mark", { artefact: viewer.dataset.artefact, box: keyBox });
      keyBox = null;
    } else return;
    event.preventDefault();
    stage.querySelector(".um-rubber")?.remove();
    if (keyBox) stage.append(outline(keyBox, "", "um-rubber"));
  }

  /* ---- buttons ---- */

  /* Which answer of the conversation, those that are not shown counted as well. */
  function numberOf(button) {
    const shown = [...document.querySelectorAll(".um-answer")].indexOf(button.closest(".um-answer"));
    return Number(document.querySelector(".um-earlier")?.dataset.answers ?? 0) + shown;
  }

  const ANSWERS = {
    use: (button) => send("mark", { artefact: button.dataset.of }),
    unmark: (button) => send("unmark", { index: Number(button.dataset.index) }),
    edit: (button) => send("edit", { message: Number(button.dataset.message) }),
    retry: (button) => {
      const last = button.closest(".um-question") === [...document.querySelectorAll(".um-question")].at(-1);
      if (last || button.dataset.sure) { delete button.dataset.sure; send("retry", { message: Number(button.dataset.message) }); }
      else Object.assign(button.dataset, { sure: "yes" });
    },
    keep: () => send("keep", {}),
    skip: (button) => send("skip", { index: Number(button.dataset.index) }),
    again: (button) => send("again", { answer: numberOf(button), index: Number(button.dataset.index) }),
    judge: (button) => send("judge", { answer: numberOf(button), liked: button.ariaPressed === "true" ? null : button.dataset.liked === "yes" }),
    earlier: () => send("earlier", {}),
    open: (button) => { send("open", { key: button.dataset.key }); document.body.classList.remove("um-history-open"); },
    rename: (button) => rename(button.closest("li"), button.dataset.key),
    delete: (button) => {
      if (button.dataset.sure) send("delete", { key: button.dataset.key });
      else Object.assign(button.dataset, { sure: "yes" });
    },
    inspect: (button) => openViewer(button.closest(".um-media")),
    seek: (button) => { button.closest(".um-media").querySelector("video, audio").currentTime = Number(button.dataset.start); },
    draft: (button) => openViewer(button.parentElement.querySelector(".um-media")),
  };

  /* The server names files by their content; people get the artefact's id. */
  async function save(link) {
    const saved = document.createElement("a");
    saved.href = URL.createObjectURL(await (await fetch(link.href)).blob());
    saved.download = link.download;
    saved.click();
    setTimeout(() => URL.revokeObjectURL(saved.href), 60000);
  }

  function onClick(event) {
    if (!(event.target instanceof Element)) return;
    const link = event.target.closest(".um-media a[download]");
    if (link) {
      event.preventDefault();
      save(link);
    }
    const button = event.target.closest("button[data-um]");
    if (button && ANSWERS[button.dataset.um]) {
      event.preventDefault();
      ANSWERS[button.dataset.um](button);
    }
  }

  /* A step is redrawn while it runs, perhaps between press and release of the button that ends it: the press counts. */
  function onPress(event) {
    const button = event.target instanceof Element && event.target.closest("button[data-um=skip]");
    if (button) ANSWERS.skip(button);
  }

  /* The title becomes a field; Enter or leaving it renames, Escape does not. */
  function rename(line, key) {
    const title = line.querySelector(".um-open span");
    const field = document.createElement("input");
    field.value = title.textContent;
    field.className = "um-rename";
    field.setAttribute("aria-label", line.querySelector("[data-um=rename]").getAttribute("aria-label"));
    let over = false;
    const end = (keep) => {
      if (over) return;
      over = true;
      field.remove();
      if (keep && field.value.trim() && field.value !== title.textContent) send("rename", { key, title: field.value });
    };
    field.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === "Escape") end(event.key === "Enter"); });
    field.addEventListener("blur", () => end(true));
    line.append(field);
    field.select();
  }

  function onTap(event) {
    if (event.pointerType === "mouse" || !(event.target instanceof Element) || event.target.closest("button, a")) return;
    const stage = event.target.closest('#um-conversation [data-kind="img"] .um-stage');
    if (stage) openViewer(stage.closest(".um-media"));
  }

  /* ---- masks of videos, waves of sounds ---- */

  /* As long as a video plays, for every frame; else once for each thing that may have moved it. */
  let framed = false;

  function wake() {
    if (!framed) requestAnimationFrame(onFrame);
    framed = true;
  }

  function onFrame() {
    for (const masklet of document.querySelectorAll(".um-masklet")) {
      const video = masklet.closest(".um-stage").querySelector("video");
      const due = Math.min(masklet.childElementCount - 1, Math.floor((video.currentTime / Number(masklet.dataset.seconds)) * masklet.childElementCount));
      [...masklet.children].forEach((path, index) => { path.style.display = index === due ? "" : "none"; });
    }
    for (const video of document.querySelectorAll(".um-stage video")) video.parentElement.classList.toggle("um-later", video.currentTime > FIRST_FRAME_S);
    framed = false;
    if ([...document.querySelectorAll(".um-stage video")].some((video) => !video.paused)) wake();
  }

  async function drawWave(holder) {
    const canvas = holder.querySelector("canvas");
    canvas.dataset.drawn = "yes";
    const bytes = await (await fetch(holder.querySelector("audio").src)).arrayBuffer();
    const sound = await new OfflineAudioContext(1, 1, 22050).decodeAudioData(bytes);
    const samples = sound.getChannelData(0);
    const [width, height] = [canvas.width, canvas.height] = [600, 96];
    const pen = canvas.getContext("2d");
    pen.fillStyle = getComputedStyle(document.body).getPropertyValue("--um-accent");
    for (let bar = 0; bar < width; bar += 4) {
      let peak = 0;
      const end = Math.floor(((bar + 4) / width) * samples.length);
      for (let at = Math.floor((bar / width) * samples.length); at < end; at += 1) peak = Math.max(peak, Math.abs(samples[at]));
      const tall = Math.max(2, peak * height);
      pen.fillRect(bar, (height - tall) / 2, 2.5, tall);
    }
  }

  window.umSettle = () => {
    drawMarks();
    wake();
    for (const holder of document.querySelectorAll(".um-sound")) if (!holder.querySelector("canvas").dataset.drawn) drawWave(holder);
  };

  document.addEventListener("pointerdown", onDown);
  document.addEventListener("pointermove", onMove);
  document.addEventListener("pointerup", onUp);
  document.addEventListener("pointercancel", onCancel);
  document.addEventListener("pointerover", onPoint);
  document.addEventListener("focusin", onPoint);
  document.addEventListener("click", onClick);
  document.addEventListener("pointerdown", onPress);
  document.addEventListener("click", onTap);
  document.addEventListener("keydown", onKey);
  document.addEventListener("dragstart", (event) => { if (event.target instanceof Element && event.target.closest(".um-stage")) event.preventDefault(); });
  for (const name of ["play", "seeking", "seeked", "timeupdate", "loadeddata"]) document.addEventListener(name, wake, true);
})();
