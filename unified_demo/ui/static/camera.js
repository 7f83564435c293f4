/* A picture from the camera, which Gradio's composer cannot take: a dialog shows what it sees, one press puts a JPEG among the files of the
   message, as if it had been chosen. The camera runs only while the dialog is open; without one, or on a page that may not ask, it says so. */
(() => {
  "use strict";
  const QUALITY = 0.92;
  const WIDEST = 1920;
  const words = () => document.querySelector("#um-words")?.dataset ?? {};
  let dialog = null;
  let stream = null;

  function close() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    dialog?.remove();
    dialog = null;
  }

  async function open() {
    close();
    dialog = document.createElement("dialog");
    dialog.id = "um-camera";
    dialog.setAttribute("aria-label", words().camera);
    dialog.innerHTML = '<video autoplay muted playsinline></video><p role="status" hidden></p><footer><button type="button" class="um-snap" disabled></button><button type="button" class="um-close"></button></footer>';
    const [video, snap] = [dialog.querySelector("video"), dialog.querySelector(".um-snap")];
    snap.textContent = words().snap;
    dialog.querySelector(".um-close").textContent = words().close;
    dialog.querySelector(".um-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", close);
    snap.addEventListener("click", () => take(video));
    document.body.append(dialog);
    dialog.showModal();
    const own = dialog;
    try {
      const found = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: WIDEST } } });
      if (own !== dialog) { found.getTracks().forEach((track) => track.stop()); return; }
      stream = found;
      video.srcObject = found;
      await video.play();
      snap.disabled = false;
      snap.focus();
    } catch {
      if (own !== dialog) return;
      video.hidden = true;
      Object.assign(dialog.querySelector("p"), { hidden: false, textContent: words().nocamera });
    }
  }

  function take(video) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((picture) => {
      const field = document.querySelector("#um-composer input[type=file]");
      const chosen = new DataTransfer();
      chosen.items.add(new File([picture], `camera-${Date.now()}.jpg`, { type: "image/jpeg" }));
      field.files = chosen.files;
      field.dispatchEvent(new Event("change", { bubbles: true }));
      dialog?.close();
      document.querySelector("#um-composer textarea")?.focus({ preventScroll: true });
    }, "image/jpeg", QUALITY);
  }

  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("[data-um=camera]")) open();
  });
})();
