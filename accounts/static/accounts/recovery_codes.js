// Printing and copying the recovery codes, which are shown once.

const codes = [...document.querySelectorAll("[data-codes] li")].map((item) => item.textContent ?? "");
const copied = document.querySelector("[data-copied]");

document.querySelector("[data-print]")?.addEventListener("click", () => window.print());

document.querySelector("[data-copy]")?.addEventListener("click", async () => {
  let word = "Copied. Paste them into your password manager.";
  try {
    await navigator.clipboard.writeText(codes.join("\n"));
  } catch {
    word = "Copying did not work. Select the codes and copy them, or print them.";
  }
  if (copied) copied.textContent = word;
});
