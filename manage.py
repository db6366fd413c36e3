#!/usr/bin/env python3
import os
import sys

from django.core.management import execute_from_command_line

from telehealth import firstrun

if __name__ == "__main__":
    if sys.argv[1:2] == ["up"]:
        firstrun.prepare()  # settings read what this makes
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telehealth.settings")
    execute_from_command_line(sys.argv)
