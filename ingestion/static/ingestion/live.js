// Keeps the counts of imports up to date while they move: asks for all of the page at once, every two seconds.
"use strict";
(() => {
  const script = document.currentScript;
  const all = () => Array.from(document.querySelectorAll("[data-import]"));
  const moving = () => all().filter((cell) => cell.dataset.moving === "1");

  const show = (cell, standing) => {
    const text = standing[cell.dataset.cell];
    if (text !== undefined && cell.textContent !== text) cell.textContent = text;
    cell.dataset.moving = standing.moving ? "1" : "";
  };

  const ask = async () => {
    const ids = [...new Set(moving().map((cell) => cell.dataset.import))];
    if (ids.length === 0) {
      // The buttons of an import's page are those of its state.
      if (document.querySelector("[data-reload-when-over]")) location.reload();
      return;
    }
    try {
      const answer = await fetch(`${script.dataset.url}?ids=${ids.join(",")}`, { credentials: "same-origin" });
      if (answer.ok) {
        const standings = await answer.json();
        all().forEach((cell) => standings[cell.dataset.import] && show(cell, standings[cell.dataset.import]));
      }
    } catch (error) {
      // The server restarts; the next question will be answered.
    }
    setTimeout(ask, 2000);
  };
  if (moving().length > 0) setTimeout(ask, 1000);
})();
