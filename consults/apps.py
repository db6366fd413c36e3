from django.apps import AppConfig


class ConsultsConfig(AppConfig):
    name = "consults"
    default_auto_field = "django.db.models.BigAutoField"
