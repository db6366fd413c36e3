// A QR code drawn here: the server must not learn what is in it.

import { encode } from "./vendor/uqr.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Dark on white with the quiet zone of four modules that scanners need.
 * @param {string} text
 */
export function qr(text) {
  const { data, size } = encode(text, { ecc: "M", border: 4 });
  const path = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("class", "qr");
  const drawn = document.createElementNS(SVG, "path");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return svg;
}
