// Search that answers as one types. What is typed goes into no address, no history and no log.

import { all, announce, find, fragment } from "./dom.js";
import { post } from "./server.js";

const DEBOUNCE_MS = 150;
/** the shortest beginning of a name the vault can find */
const SHORTEST = 2;

export function bindSearch() {
  const form = find("[data-search]", HTMLFormElement);
  const input = find("input[name=q]", HTMLInputElement, form);
  const results = find("[data-results]", HTMLElement);
  let timer = 0;
  let asked = 0;

  async function ask() {
    window.clearTimeout(timer);
    asked += 1;
    const mine = asked;
    const query = input.value.trim();
    if (query.length < SHORTEST) {
      results.replaceChildren();
      return;
    }
    const answer = await post(form.action, { q: query });
    if (mine !== asked) return;
    if (!answer.ok) {
      const sorry = document.createElement("p");
      sorry.className = "field-error";
      sorry.textContent = answer.error;
      results.replaceChildren(sorry);
      return;
    }
    results.replaceChildren(fragment(answer.html));
    const found = rows().length;
    announce(found === 1 ? "One patient found." : `${found || "No"} patients found.`);
  }

  const rows = () => all("[data-result]", HTMLElement, results);

  input.addEventListener("input", () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(ask, DEBOUNCE_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const first = rows()[0];
    if (first && input.value.trim().length >= SHORTEST) focusIn(first);
    else void ask();
  });
  for (const element of [input, results]) {
    element.addEventListener("keydown", (event) => {
      if (event instanceof KeyboardEvent) move(event);
    });
  }

  /** @param {KeyboardEvent} event */
  function move(event) {
    if (event.key === "Escape") {
      if (document.activeElement === input) {
        input.value = "";
        void ask();
      }
      input.focus();
      return;
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const list = rows();
    const at = list.findIndex((row) => row.contains(document.activeElement));
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
    const row = list[next];
    if (row) focusIn(row);
    else if (next < 0) input.focus();
  }

  /** @param {HTMLElement} row */
  function focusIn(row) {
    find("button, a", HTMLElement, row).focus();
  }
}
