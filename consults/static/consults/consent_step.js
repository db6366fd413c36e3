// The step "consent": the words in the patient's language, her choices, her name, and what her browser signs of it.

import { ConsentVoice } from "./consent_voice.js";
import { all, fact, find, fragment, say } from "./dom.js";
import { part, post } from "./server.js";
import { canonical, sha256, Signer } from "./signing.js";

/** @typedef {import("../signaling/wire.js").Wire} Wire */
/** @typedef {import("./devices.js").Devices} Devices */
/** @typedef {import("./signing.js").Act} Act */

/** how long to wait before an unanswered act is sent again */
const AGAIN_AFTER = [500, 1000, 2000, 4000, 8000];
/** about an hour; whoever comes back later loads the page again, which goes on asking */
const MOST_TRIES = 450;

/**
 * @param {Wire} wire
 * @param {Devices} devices
 * @param {string} url
 * @param {(record: {at: string, digest: string}) => void} done
 */
export function bindConsentStep(wire, devices, url, done) {
  const step = new ConsentStep(wire, devices, url, done);
  void step.goOn();
  return step;
}

/** What stands on the page, without the white space of the page's own source. @param {HTMLElement} element */
function shown(element) {
  return (element.textContent ?? "").trim();
}

export class ConsentStep {
  /**
   * @param {Wire} wire
   * @param {Devices} devices
   * @param {string} url
   * @param {(record: {at: string, digest: string}) => void} done
   */
  constructor(wire, devices, url, done) {
    this.wire = wire;
    this.devices = devices;
    this.url = url;
    this.done = done;
    this.root = find("[data-consent-step]", HTMLElement);
    /** @type {ConsentVoice | null} */
    this.voice = null;
    this.bind();
    this.signer = new Signer(fact(this.words, "consult"));
    // The page reads in the direction of the words while they are read.
    new MutationObserver(() => this.turn()).observe(this.root, { attributes: true, attributeFilter: ["hidden"] });
    this.turn();
  }

  get words() {
    return find("[data-consent-words]", HTMLElement, this.root);
  }

  get form() {
    return find("[data-consent-form]", HTMLFormElement, this.root);
  }

  get phrases() {
    return JSON.parse(find("#consent-phrases", HTMLScriptElement, this.root).textContent ?? "{}");
  }

  bind() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.agree();
    });
    const language = this.root.querySelector("[data-language]");
    language?.addEventListener("change", () => {
      if (language instanceof HTMLSelectElement) void this.load(language.value);
    });
    this.shows("[data-role]", "[data-by]", (value) => value !== "patient");
    this.shows("[data-witness]", "[data-with]", (value) => value !== "");
    const voice = this.root.querySelector("[data-voice]");
    if (voice instanceof HTMLElement) {
      this.voice = new ConsentVoice(voice, this.wire, this.devices, fact(this.root, "voiceUrl"), this.phrases);
    }
  }

  /**
   * @param {string} chooser
   * @param {string} fields
   * @param {(value: string) => boolean} when
   */
  shows(chooser, fields, when) {
    const select = find(chooser, HTMLSelectElement, this.root);
    const more = find(fields, HTMLElement, this.root);
    const change = () => {
      more.hidden = !when(select.value);
    };
    select.addEventListener("change", change);
    change();
  }

  turn() {
    document.documentElement.dir = this.root.hidden ? "ltr" : this.words.dir || "ltr";
  }

  /** @param {string} locale */
  async load(locale) {
    const answer = await part(`${fact(this.root, "wordsUrl")}?locale=${encodeURIComponent(locale)}`);
    if (!answer.ok) {
      this.error(answer.error);
      return;
    }
    this.voice?.close();
    this.voice = null;
    find("[data-consent-inside]", HTMLElement, this.root).replaceChildren(fragment(answer.html));
    this.bind();
    this.turn();
    this.root.querySelector("[data-language]")?.closest("select")?.focus();
  }

  // -- agreeing -------------------------------------------------------------------------------------

  async agree() {
    const missing = this.missing();
    this.error(missing);
    if (missing) return;
    this.busy(true);
    await this.voice?.end();
    try {
      const act = await this.signed();
      if (act) await this.send(act);
    } catch {
      this.error(this.phrases.cannot_sign);
    }
    this.busy(false);
  }

  /** The first thing that is not there yet, as a sentence; the focus goes to it. */
  missing() {
    const main = find("[data-required] input[name=agreed]", HTMLInputElement, this.form);
    const name = find("#signed-name", HTMLInputElement, this.form);
    const rules = /** @type {[boolean, HTMLElement, string][]} */ ([
      [!main.checked, main, this.phrases.tick_main],
      [Boolean(this.voice?.wanted) && !this.voice?.recorded && !this.voice?.recorder, this.form, this.phrases.record_first],
      [name.value.trim() === "", name, this.phrases.type_name],
    ]);
    const [, element, sentence] = rules.find(([holds]) => holds) ?? [false, null, ""];
    element?.focus();
    return sentence;
  }

  /** @returns {Promise<Act | null>} */
  async signed() {
    const { spki } = await this.signer.kept();
    const answer = await post(this.url, this.chosen(spki));
    if (!answer.ok) {
      this.error(answer.error);
      // The words may be others by now: they are shown as they are, to be read again.
      if (answer.status === 409) await this.load(fact(this.words, "locale"));
      return null;
    }
    const asked = JSON.parse(String(answer.data.sign));
    const own = await this.drawnUp(spki, String(asked.time));
    if (canonical(own) !== canonical(asked)) {
      this.error(this.phrases.differs);
      return null;
    }
    const signs = find("[data-signs]", HTMLElement, this.form);
    signs.textContent = JSON.stringify(own, null, 2);
    signs.hidden = false;
    return this.signer.sign(own);
  }

  /** @param {string} spki */
  chosen(spki) {
    const fields = new FormData(this.form);
    fields.delete("aloud");
    fields.set("locale", fact(this.words, "locale"));
    fields.set("name", find("#signed-name", HTMLInputElement, this.form).value.trim());
    fields.set("key", spki);
    const recorded = this.recorded;
    if (recorded) {
      fields.append("agreed", "voice");
      fields.set("recording", recorded.sha256);
      fields.set("worker", recorded.worker.join("\n"));
    }
    return fields;
  }

  get recorded() {
    return this.voice?.wanted ? this.voice.recorded : null;
  }

  /**
   * The evidence, from what this page shows and what she typed. Only the moment of it is the server's.
   * @param {string} spki
   * @param {string} time
   */
  async drawnUp(spki, time) {
    const until = new Date(Date.parse(time) + Number(fact(this.words, "hours")) * 3_600_000);
    const expires = until.toISOString().replace(/\.\d+Z$/, "Z");
    const typed = (/** @type {string} */ name) => find(`[name=${name}]`, HTMLInputElement, this.form).value.trim();
    const role = find("[data-role]", HTMLSelectElement, this.form).value;
    const witness = find("[data-witness]", HTMLSelectElement, this.form).value;
    const patient = role === "patient";
    const recorded = this.recorded;
    const clinicName = shown(find("[data-signs-clinic]", HTMLElement, this.form));
    return {
      format: "telehealth/1/consent",
      act: "give",
      consult: fact(this.words, "consult"),
      clinic: { id: fact(this.words, "clinic"), name: clinicName },
      patient: fact(this.words, "patient"),
      statements: await Promise.all(all("[data-scope]", HTMLElement, this.form).map((scope) => this.statement(scope))),
      name: typed("name"),
      by: { role, name: patient ? "" : typed("by_name"), relation: patient ? "" : typed("relation") },
      witness: witness ? { role: witness, name: typed("witness_name"), relation: typed("witness_relation") } : null,
      purpose: shown(find("[data-signs-purpose]", HTMLElement, this.form)),
      time,
      expires,
      recording: recorded ? { sha256: recorded.sha256, seconds: recorded.seconds } : null,
      worker: recorded ? recorded.worker : [],
      key: spki,
      withdraws: null,
    };
  }

  /** One scope as it stands on the page. @param {HTMLElement} scope */
  async statement(scope) {
    const words = {
      scope: fact(scope, "scope"),
      locale: fact(scope, "locale"),
      version: Number(fact(scope, "version")),
      title: shown(find("[data-words-title]", HTMLElement, scope)),
      text: shown(find("[data-words-text]", HTMLElement, scope)),
    };
    const { title: _title, text: _text, ...named } = words;
    const box = scope.querySelector("input[name=agreed]");
    const agreed = box instanceof HTMLInputElement ? box.checked : this.recorded !== null;
    return { ...named, digest: await sha256(canonical(words)), required: scope.hasAttribute("data-required"), agreed };
  }

  // -- recording ------------------------------------------------------------------------------------

  /** A signed act that an earlier page could not bring home is asked about before anything else. */
  async goOn() {
    const act = await this.signer.unanswered();
    if (!act || JSON.parse(act.evidence).act !== "give") return;
    this.busy(true);
    await this.send(act);
    this.busy(false);
  }

  /**
   * Until the clinic says whether it has it. The same bytes again make no second record.
   * @param {Act} act
   */
  async send(act) {
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      this.status(tries ? this.phrases.asking : this.phrases.sending);
      const answer = await post(this.url, { evidence: act.evidence, signature: act.signature });
      if (answer.ok) {
        await this.signer.settle(act);
        this.status("");
        this.form.reset();
        this.done({ at: String(answer.data.at), digest: String(answer.data.digest) });
        return;
      }
      if (answer.status >= 400 && answer.status < 500) {
        await this.signer.settle(null);
        this.status("");
        this.error(answer.error);
        return;
      }
      await new Promise((resolve) => {
        setTimeout(resolve, AGAIN_AFTER[Math.min(tries, AGAIN_AFTER.length - 1)]);
      });
    }
  }

  /** @param {boolean} busy */
  busy(busy) {
    find("button[type=submit]", HTMLButtonElement, this.form).disabled = busy;
  }

  /** @param {string} text */
  status(text) {
    say(find("[data-consent-status]", HTMLElement, this.form), text);
  }

  /** @param {string} text */
  error(text) {
    find("[data-consent-error]", HTMLElement, this.form).textContent = text;
  }
}
