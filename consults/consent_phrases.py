"""What the consent step says around the words, in the languages that the product's own words come in (phrases/)."""

import json
from pathlib import Path

PHRASES: dict[str, dict[str, str]] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((Path(__file__).parent / "phrases").glob("*.json"))
}
#: what the page's script says
SPOKEN = (
    *("record", "again", "moment", "speak", "kept", "not_heard", "no_recorder", "no_microphone", "record_first"),
    *("tick_main", "type_name", "sending", "asking", "differs", "cannot_sign"),
)


def of(locale: str, hours: int) -> tuple[dict[str, str], str]:
    """The phrases nearest to this language, and the language they are in. `hours`: how long consent holds."""
    spoken_in = next((one for one in (locale, locale.partition("-")[0]) if one in PHRASES), "en")
    phrases = PHRASES[spoken_in]
    return {**phrases, "hours": phrases["hours"].format(hours=hours)}, spoken_in


def said_by_script(phrases: dict[str, str]) -> dict[str, str]:
    return {name: phrases[name] for name in SPOKEN}
