// The page that asks who one is: the link's secret is kept from here on, whatever happens to this tab.

import { fact } from "./dom.js";
import { claim } from "./linksecret.js";

claim(fact(document.body, "consult")).catch(() => undefined); // then it goes on with the tab, or words are compared
