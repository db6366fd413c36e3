from django.urls import path

from consults import views_board as board
from consults import views_consent as consent
from consults import views_day as day
from consults import views_export as export
from consults import views_keeping as keeping
from consults import views_patient as patient
from consults import views_receipt as receipt
from consults import views_records as records
from consults import views_review as review
from consults import views_room as room

urlpatterns = [
    path("", day.dashboard, name="dashboard"),
    path("day/lists/", day.dashboard_lists, name="dashboard-lists"),
    path("patients/search/", day.search, name="patient-search"),
    path("patients/new/", records.patient_new, name="patient-new"),
    path("patients/<uuid:patient_id>/", records.patient, name="patient"),
    path("patients/<uuid:patient_id>/reveal/", records.reveal, name="reveal"),
    path("patients/<uuid:patient_id>/emergency/", records.emergency, name="emergency"),
    path("patients/<uuid:patient_id>/change/", records.change, name="change"),
    path("review/", review.review, name="review"),
    path("review/patients/search/", review.review_search, name="review-search"),
    path("review/patients/<uuid:patient_id>/", review.review_patient, name="review-patient"),
    path("review/keeping/", keeping.keeping, name="keeping"),
    path("review/decoys/new/", review.review_decoy, name="review-decoy"),
    path("review/<uuid:concern_id>/", review.review_one, name="review-one"),
    path("patients/<uuid:patient_id>/export/", export.export_record, name="export"),
    path("patients/<uuid:patient_id>/erase/", export.erase, name="erase"),
    path("patients/<uuid:patient_id>/erased/", export.erasure, name="erasure"),
    path("patients/<uuid:patient_id>/erased/certificate/", export.erasure_pdf, name="erasure-pdf"),
    path("patients/<uuid:patient_id>/hold/", keeping.hold, name="hold"),
    path("patients/<uuid:patient_id>/hold/<uuid:hold_id>/lift/", keeping.lift, name="hold-lift"),
    path("patients/<uuid:patient_id>/links/close/", keeping.close_links, name="links-close"),
    path("board/", board.board, name="board"),
    path("board/sessions/", board.sessions_now, name="board-sessions"),
    path("board/reliability/", board.reliability, name="reliability"),
    path("board/<uuid:consult_id>/", board.one, name="board-visit"),
    path("board/<uuid:consult_id>/now/", board.one_now, name="board-visit-now"),
    path("consults/start/", records.start, name="consult-start"),
    path("consults/<uuid:consult_id>/", room.room, name="room"),
    path("consults/<uuid:consult_id>/status/", room.room_status, name="room-status"),
    path("consults/<uuid:consult_id>/invite/", room.invite, name="invite"),
    path("consults/<uuid:consult_id>/invite/mail/", room.invite_mail, name="invite-mail"),
    path("consults/<uuid:consult_id>/invite/revoke/", room.invite_revoke, name="invite-revoke"),
    path("consults/<uuid:consult_id>/admit/", room.admit, name="admit"),
    path("consults/<uuid:consult_id>/end/", room.end, name="end"),
    path("consults/<uuid:consult_id>/note/", room.note, name="note"),
    path("consults/<uuid:consult_id>/voice/<int:recording_id>/", room.recording, name="recording"),
    path("join/", patient.join, name="join"),
    path("join/look/", patient.join_look, name="join-look"),
    path("join/redeem/", patient.join_redeem, name="join-redeem"),
    path("visit/<uuid:consult_id>/", patient.visit_page, name="visit"),
    path("visit/<uuid:consult_id>/identity/", patient.identity, name="identity"),
    path("visit/<uuid:consult_id>/devices/", patient.devices, name="devices"),
    path("visit/<uuid:consult_id>/consent/", consent.give_consent, name="consent"),
    path("visit/<uuid:consult_id>/consent/words/", consent.consent_words, name="consent-words"),
    path("visit/<uuid:consult_id>/consent/voice/", consent.own_voice, name="consent-voice"),
    path("visit/<uuid:consult_id>/consent/withdraw/", consent.withdraw, name="withdraw"),
    path("receipt/", receipt.entrance, name="receipt"),
    path("receipt/open/", receipt.open_page, name="receipt-open"),
    path("receipt/check/", receipt.check_page, name="receipt-check"),
    path("receipt/yours/", receipt.own_page, name="receipt-yours"),
    path("receipt/yours/<uuid:consent_id>/", receipt.file, name="receipt-file"),
    path("receipt/yours/<uuid:consent_id>/pdf/", receipt.file, {"form": "pdf"}, name="receipt-file-pdf"),
    path("receipt/yours/<uuid:consent_id>/fhir/", receipt.file, {"form": "fhir"}, name="receipt-file-fhir"),
    path("receipt/yours/looks/<int:entry>/", receipt.proof, name="receipt-proof"),
    path("receipt/yours/withdraw/", receipt.withdraw, name="receipt-withdraw"),
    path("receipt/yours/close/", receipt.close, name="receipt-yours-close"),
]
