// Small things that a browser keeps for a tab, or for longer. One that may keep nothing throws at every touch; then they
// last as long as the page.

/** @type {Map<string, string>} */
const inMemory = new Map();

/**
 * @param {"sessionStorage" | "localStorage"} where
 * @param {string} name
 */
export function recall(where, name) {
  const here = inMemory.get(where + name);
  if (here !== undefined) return here;
  try {
    return window[where].getItem(name);
  } catch {
    return null;
  }
}

/**
 * @param {"sessionStorage" | "localStorage"} where
 * @param {string} name
 * @param {string} value
 */
export function keep(where, name, value) {
  try {
    window[where].setItem(name, value);
    inMemory.delete(where + name);
  } catch {
    drop(where, name); // the next page must not take an older value for this one
    inMemory.set(where + name, value);
  }
}

/**
 * @param {"sessionStorage" | "localStorage"} where
 * @param {string} name
 */
export function drop(where, name) {
  inMemory.delete(where + name);
  try {
    window[where].removeItem(name);
  } catch {
    // Then it was not there.
  }
}

/**
 * What is kept for longer than this page, by the beginning of its name.
 * @param {"sessionStorage" | "localStorage"} where
 * @param {string} beginning
 */
export function names(where, beginning) {
  try {
    return Object.keys(window[where]).filter((name) => name.startsWith(beginning));
  } catch {
    return [];
  }
}
