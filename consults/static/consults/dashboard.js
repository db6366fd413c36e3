// The clinician's day: what the server shows, fetched again at every hint and, while hints are away, every 15 s.

import { Arrivals } from "./arrivals.js";
import { all, fact } from "./dom.js";
import { keepUpToDate } from "./livelist.js";
import { bindSearch } from "./search.js";

const arrivals = new Arrivals();

bindSearch();
keepUpToDate({
  poll: 15000,
  always: false,
  look: (lists) => arrivals.update(all("[data-seat]", HTMLElement, lists).map((card) => fact(card, "seat"))),
});
