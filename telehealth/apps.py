from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class TelehealthConfig(AppConfig):
    name = "telehealth"

    def ready(self) -> None:
        from telehealth import checks  # noqa: F401  (registering checks needs the apps loaded)


class StaffAdminConfig(AdminConfig):
    default_site = "telehealth.admin_site.StaffAdminSite"
