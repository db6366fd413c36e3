// The page of a visit that has ended: what this browser knew of its link goes.

import { localise } from "./clock.js";
import { fact } from "./dom.js";
import { forget } from "./linksecret.js";

localise();
forget(fact(document.body, "consult")).catch(() => undefined); // a browser that keeps nothing has nothing to erase
