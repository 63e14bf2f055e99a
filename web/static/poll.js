// Asks our own server every second whether the state of the page changed, and loads the page again if it did.
"use strict";
const place = document.querySelector("[data-poll]");
async function poll() {
  try {
    const answer = await fetch(place.dataset.poll, { credentials: "same-origin", cache: "no-store" });
    if (answer.ok && (await answer.json()).state !== place.dataset.state) {
      location.reload();
      return;
    }
  } catch {
    // The line is down: try again.
  }
  setTimeout(poll, 1000);
}
if (place) setTimeout(poll, 1000);
