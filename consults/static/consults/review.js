// Pages of a privacy officer or an operator: times in the reader's own clock, and the patient finder where there is one.

import { localise } from "./clock.js";
import { bindSearch } from "./search.js";

localise();
if (document.querySelector("[data-search]")) bindSearch();
