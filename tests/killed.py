"""The product as processes of its own, that a test may kill at any moment: on SQLite, or on real engines."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import engines
from tests.test_on_engines import fresh_environment

ROOT = Path(__file__).resolve().parent.parent
PREPARE = """
from pathlib import Path
from django.conf import settings
from django.core.management import call_command
from accounts.models import Clinic
call_command("migrate", verbosity=0)
if not Path(settings.VAULT_KEY_FILE).exists():
    call_command("create_vault_key")
Clinic.objects.create(name="Harbour")
"""


class Product:
    """Python run inside the product, on a data folder and a database of its own."""

    def __init__(self, folder, **more):
        self.environment = {**fresh_environment(), "TELEHEALTH_DATA": str(folder), "TELEHEALTH_MODE": "demo", **more}
        self.environment.pop("TELEHEALTH_TEST_ENGINES", None)

    def start(self, code):
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, code):
        process = self.start(code)
        out, error = process.communicate(timeout=240)
        assert process.returncode == 0, error[-3000:]
        return out


@contextmanager
def on_engines(folder: Path) -> Iterator[Product]:
    with engines.postgres() as database, engines.redis() as redis:
        yield Product(folder, DATABASE_URL=str(database), REDIS_URL=str(redis))
