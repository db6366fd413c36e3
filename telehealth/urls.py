from django.contrib import admin
from django.urls import include, path

from telehealth import health

urlpatterns = [
    path("", include("consults.urls")),
    path("", include("accounts.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
]
handler400 = "telehealth.errors.bad_request"
handler403 = "telehealth.errors.forbidden"
handler404 = "telehealth.errors.not_found"
handler500 = "telehealth.errors.server_error"
