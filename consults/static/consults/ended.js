// The page of a visit that has ended.

import { localise } from "./clock.js";

localise();
