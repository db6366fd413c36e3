from django.urls import path

from consults import views_clinician as clinician
from consults import views_patient as patient

urlpatterns = [
    path("", clinician.dashboard, name="dashboard"),
    path("day/lists/", clinician.dashboard_lists, name="dashboard-lists"),
    path("patients/search/", clinician.search, name="patient-search"),
    path("patients/new/", clinician.patient_new, name="patient-new"),
    path("patients/<uuid:patient_id>/", clinician.patient, name="patient"),
    path("patients/<uuid:patient_id>/reveal/", clinician.reveal, name="reveal"),
    path("consults/start/", clinician.start, name="consult-start"),
    path("consults/<uuid:consult_id>/", clinician.room, name="room"),
    path("consults/<uuid:consult_id>/status/", clinician.room_status, name="room-status"),
    path("consults/<uuid:consult_id>/invite/", clinician.invite, name="invite"),
    path("consults/<uuid:consult_id>/invite/mail/", clinician.invite_mail, name="invite-mail"),
    path("consults/<uuid:consult_id>/invite/revoke/", clinician.invite_revoke, name="invite-revoke"),
    path("consults/<uuid:consult_id>/admit/", clinician.admit, name="admit"),
    path("consults/<uuid:consult_id>/end/", clinician.end, name="end"),
    path("consults/<uuid:consult_id>/note/", clinician.note, name="note"),
    path("consults/<uuid:consult_id>/voice/<int:recording_id>/", clinician.recording, name="recording"),
    path("join/", patient.join, name="join"),
    path("join/look/", patient.join_look, name="join-look"),
    path("join/redeem/", patient.join_redeem, name="join-redeem"),
    path("visit/<uuid:consult_id>/", patient.visit_page, name="visit"),
    path("visit/<uuid:consult_id>/identity/", patient.identity, name="identity"),
    path("visit/<uuid:consult_id>/devices/", patient.devices, name="devices"),
    path("visit/<uuid:consult_id>/consent/", patient.give_consent, name="consent"),
    path("visit/<uuid:consult_id>/consent/withdraw/", patient.withdraw, name="withdraw"),
]
