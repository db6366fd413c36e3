// The live board: figures change all the time, so it is fetched again by the clock too.

import { keepUpToDate } from "./livelist.js";

keepUpToDate({ poll: 4000, always: true });
