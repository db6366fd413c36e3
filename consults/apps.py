from django.apps import AppConfig


class ConsultsConfig(AppConfig):
    name = "consults"
    verbose_name = "Visits and consent"
    default_auto_field = "django.db.models.BigAutoField"
