// The activation secret is in the address's fragment, so that no server log has it. It moves into the form at once.

const form = document.querySelector("[data-activate]");
const hint = document.querySelector("[data-no-link]");
const field = form instanceof HTMLFormElement ? form.elements.namedItem("token") : null;

if (form instanceof HTMLFormElement && hint instanceof HTMLElement && field instanceof HTMLInputElement) {
  const secret = location.hash.slice(1);
  if (secret) {
    history.replaceState(null, "", location.pathname);
    field.value = secret;
  }
  const complete = field.value !== "";
  form.hidden = !complete;
  hint.hidden = complete;
}
