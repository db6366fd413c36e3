"""For processes that this one starts to work beside it. Imports nothing of Django: it is what makes it ready there."""


def ready(database: str) -> None:
    """Django with the database of the process that started this one, which is another in tests."""
    import django

    django.setup()
    from django.db import connection

    connection.settings_dict["NAME"] = database
