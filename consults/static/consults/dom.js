// Finding what a page must have, and saying things aloud to those who cannot see them.

/**
 * The element a page must have.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} kind
 * @param {ParentNode} [root]
 * @returns {T}
 */
export function find(selector, kind, root = document) {
  const found = root.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`this page has no ${selector}`);
  return found;
}

/**
 * All elements of a kind that fit the selector.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} kind
 * @param {ParentNode} [root]
 * @returns {T[]}
 */
export function all(selector, kind, root = document) {
  /** @type {T[]} */
  const found = [];
  for (const element of root.querySelectorAll(selector)) if (element instanceof kind) found.push(element);
  return found;
}

/**
 * What a data-attribute says; a page without it is broken.
 * @param {HTMLElement} element
 * @param {string} name
 */
export function fact(element, name) {
  const value = element.dataset[name];
  if (value === undefined) throw new Error(`this page does not say ${name}`);
  return value;
}

/**
 * Listen to a module's CustomEvent and get its detail.
 * @template T
 * @param {EventTarget} target
 * @param {string} name
 * @param {(detail: T) => void} handle
 */
export function hear(target, name, handle) {
  target.addEventListener(name, (event) => {
    if (event instanceof CustomEvent) handle(event.detail);
  });
}

/**
 * Server-rendered HTML as nodes.
 * @param {string} html
 */
export function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/**
 * Put new content in, the focus back where it was, and open what was open, where those places (data-key) still are.
 * @param {Element} element
 * @param {Node} content
 */
export function refill(element, content) {
  const focused = document.activeElement;
  const key = focused instanceof HTMLElement && element.contains(focused) ? focused.dataset.key : undefined;
  const open = all("details[open][data-key]", HTMLDetailsElement, element).map((one) => one.dataset.key ?? "");
  element.replaceChildren(content);
  for (const name of open) element.querySelector(`details[data-key="${CSS.escape(name)}"]`)?.setAttribute("open", "");
  if (key) {
    const again = element.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (again instanceof HTMLElement) again.focus();
  }
}

/**
 * Set a text only when it differs: a live region would say it again otherwise.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent?.trim() !== text) element.textContent = text;
}

/**
 * Say something to a screen reader that the page shows in another way.
 * @param {string} text
 */
export function announce(text) {
  const region = document.getElementById("announcements");
  if (region) say(region, text);
}

/**
 * Open a dialog by some buttons and close it by another.
 * @param {HTMLDialogElement} dialog
 * @param {Iterable<HTMLElement>} openers
 * @param {HTMLElement} closer
 * @param {() => void} [prepare]
 */
export function dialogOpens(dialog, openers, closer, prepare) {
  for (const opener of openers) {
    opener.addEventListener("click", () => {
      prepare?.();
      dialog.showModal();
    });
  }
  closer.addEventListener("click", () => dialog.close());
}

/**
 * A page that still makes its keys answers no button yet: the last one pressed meanwhile is kept, and pressed again when
 * the returned function says that the page is ready.
 * @returns {() => void}
 */
export function holdClicks() {
  /** @type {HTMLElement | null} */
  let pressed = null;
  /** @param {Event} event */
  const hold = (event) => {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (!button) return;
    event.preventDefault();
    event.stopPropagation();
    pressed = button;
  };
  document.addEventListener("click", hold, { capture: true });
  return () => {
    document.removeEventListener("click", hold, { capture: true });
    pressed?.click();
  };
}
