// The page of a patient's record.

import { localise } from "./clock.js";
import { bindRecord } from "./reveal.js";

localise();
bindRecord();
