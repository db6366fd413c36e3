"""Settings and data shared by all tests. Environment is set before Django reads it."""

import os
import tempfile
from pathlib import Path

DATA = Path(tempfile.mkdtemp(prefix="telehealth-test-"))
os.environ.update(TELEHEALTH_DATA=str(DATA), TELEHEALTH_MODE="demo", EMAIL_URL="memorymail://")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telehealth.settings")
for name in ("secret_key", "cryptography_key", "channel_key"):
    path = DATA / "keys" / name
    path.parent.mkdir(exist_ok=True, mode=0o700)
    path.write_text(f"a-{name}-for-tests-that-is-long-enough-000000000000")
