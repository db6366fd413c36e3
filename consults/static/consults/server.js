// Asking the server: posts with the page's CSRF token, and parts of pages as HTML.

import { find } from "./dom.js";

const AWAY = "The clinic's server cannot be reached. Check your connection and try again.";
const UNKNOWN = "That did not work. Load the page again and repeat the step.";

/**
 * What came back. `error` is a sentence to show, empty when all went well.
 * @typedef {{ok: boolean, status: number, error: string, data: Record<string, unknown>, html: string}} Answer
 */

/**
 * @param {string} url
 * @param {Record<string, string> | FormData} [fields]
 * @returns {Promise<Answer>}
 */
export async function post(url, fields = {}) {
  const body = fields instanceof FormData ? fields : new FormData();
  if (!(fields instanceof FormData)) for (const [name, value] of Object.entries(fields)) body.set(name, value);
  body.set("csrfmiddlewaretoken", find("input[name=csrfmiddlewaretoken]", HTMLInputElement).value);
  return ask(url, { method: "POST", body, headers: { "X-Requested-With": "fetch" } });
}

/**
 * A part of the page, fetched without keeping the session alive.
 * @param {string} url
 */
export function part(url) {
  return ask(url, { headers: { "X-Background": "1", "X-Requested-With": "fetch" } });
}

/**
 * @param {string} url
 * @param {RequestInit} request
 * @returns {Promise<Answer>}
 */
async function ask(url, request) {
  try {
    const response = await fetch(url, { credentials: "same-origin", ...request });
    const json = (response.headers.get("Content-Type") ?? "").startsWith("application/json");
    const text = await response.text();
    /** @type {Record<string, unknown>} */
    const data = json ? JSON.parse(text) : {};
    const error = response.ok ? "" : sentence(response.status, data);
    return { ok: response.ok, status: response.status, error, data, html: json ? "" : text };
  } catch {
    return { ok: false, status: 0, error: AWAY, data: {}, html: "" };
  }
}

/**
 * @param {number} status
 * @param {Record<string, unknown>} data
 */
function sentence(status, data) {
  if (typeof data.error === "string") return data.error;
  if (status === 401) return "You were signed out. Load this page again and sign in.";
  return UNKNOWN;
}
