from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class TelehealthConfig(AppConfig):
    name = "telehealth"

    def ready(self) -> None:
        from telehealth import checks, errors  # noqa: F401  (checks and receivers register when the apps are loaded)


class StaffAdminConfig(AdminConfig):
    default_site = "telehealth.admin_site.StaffAdminSite"
