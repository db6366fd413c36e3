// The page of a visit that has ended: what this browser knew of its link goes.

import { localise } from "./clock.js";
import { bindReceiptLinks } from "./copying.js";
import { fact } from "./dom.js";
import { forget } from "./linksecret.js";

localise();
bindReceiptLinks();
forget(fact(document.body, "consult")).catch(() => undefined); // a browser that keeps nothing has nothing to erase
