from django.urls import path

from accounts import views

urlpatterns = [
    path("signin/", views.password, name="signin"),
    path("signin/code/", views.code, name="signin-code"),
    path("signin/setup/", views.enrol, name="enrol"),
    path("signout/", views.signout, name="signout"),
    path("activate/", views.activate, name="activate"),
    path("account/", views.account, name="account"),
    path("account/confirm/", views.confirm, name="confirm"),
    path("account/password/", views.change_password, name="change-password"),
    path("account/recovery-codes/", views.recovery_codes, name="recovery-codes"),
]
