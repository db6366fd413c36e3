"""`manage.py up` with credentials for the relay that die in seconds, not within the hour."""

import os
import sys

import django

from telehealth import firstrun

#: how tests.browser.product starts it
SHORT_LIVED = ("-m", "tests.browser.short_lived")
#: the product gives new ones after half of it
SECONDS = 24


def main() -> None:
    if sys.argv[1:2] == ["up"]:
        firstrun.prepare()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telehealth.settings")
    django.setup()
    from django.conf import settings
    from django.core.management import execute_from_command_line

    settings.TURN_SECONDS = SECONDS
    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
