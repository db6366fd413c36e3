// Withdrawing consent: signed by this browser's key where that works, and in any case withdrawn.

import { all, dialogOpens, find } from "./dom.js";
import { post } from "./server.js";
import { Signer } from "./signing.js";

/** signing must not hold a withdrawal up */
const SIGN_WITHIN = 800;

/**
 * The buttons that withdraw, and the dialog that asks once more (_withdraw_dialog.html).
 * @param {string} url
 * @param {string} consult
 * @param {() => void} done
 */
export function bindWithdrawal(url, consult, done) {
  const dialog = find("[data-withdraw-dialog]", HTMLDialogElement);
  const yes = find("[data-withdraw-yes]", HTMLButtonElement);
  const error = find("[data-withdraw-error]", HTMLElement);
  dialogOpens(dialog, all("[data-withdraw]", HTMLButtonElement), find("[data-withdraw-cancel]", HTMLButtonElement), () => {
    error.textContent = "";
  });
  yes.addEventListener("click", async () => {
    yes.disabled = true;
    error.textContent = await withdraw(url, consult);
    yes.disabled = false;
    if (error.textContent) return;
    dialog.close();
    done();
  });
}

/**
 * @param {string} url
 * @param {string} consult
 * @returns {Promise<string>} a sentence for the page, empty when it is withdrawn
 */
async function withdraw(url, consult) {
  const signer = new Signer(consult);
  const late = new Promise((resolve) => {
    setTimeout(() => resolve(null), SIGN_WITHIN);
  });
  const act = await Promise.race([signed(signer, url).catch(() => null), late]);
  if (act) {
    const answer = await post(url, { evidence: act.evidence, signature: act.signature });
    if (answer.ok) {
      await signer.settle(act);
      return "";
    }
    if (answer.status === 0) return answer.error;
  }
  // The key is gone, or nothing could be signed: the record will say that it is not signed.
  const answer = await post(url);
  return answer.ok ? "" : answer.error;
}

/**
 * @param {Signer} signer
 * @param {string} url
 */
async function signed(signer, url) {
  const { spki } = await signer.kept();
  const answer = await post(url, { key: spki });
  const text = answer.data.sign;
  if (!answer.ok || typeof text !== "string" || text === "") return null;
  const asked = JSON.parse(text);
  return (await signer.isWithdrawal(asked)) ? signer.sign(asked) : null;
}
