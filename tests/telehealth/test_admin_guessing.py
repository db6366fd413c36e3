"""The admin's addresses answer no question that its pages do not offer: no column is guessed letter by letter."""

import pytest
from django.urls import reverse

from tests.cast import bring_to, sign_in

PROBES = [
    ("accounts_user", "password__startswith", "md5"),
    ("accounts_user", "activation_digest__startswith", "a"),
    ("accounts_user", "authenticator__failures__gte", "0"),
    ("accounts_user", "clinic__name__startswith", "H"),
    ("consults_consult", "patient__masks__icontains", "M"),
    ("consults_consult", "patient__name__startswith", "nam_"),
    ("consults_consult", "participants__seat_digest__startswith", "a"),
    ("consults_consult", "clinician__password__startswith", "md5"),
    ("consults_consent", "signed_name__startswith", "sig_"),
    ("consults_consent", "consult__patient__name__startswith", "nam_"),
    ("consults_consent", "recording__sha256__startswith", "a"),
]


@pytest.mark.parametrize(("page", "lookup", "value"), PROBES, ids=lambda v: str(v))
@pytest.mark.parametrize("who", ["officer", "operator"])
def test_a_lookup_that_no_page_offers_is_refused(cast, who, page, lookup, value):
    bring_to("admitted", cast.clinician, cast.patient)
    answer = sign_in(getattr(cast, who)).get(reverse(f"admin:{page}_changelist"), {lookup: value})
    assert answer.status_code in (400, 403, 404)


@pytest.mark.parametrize(
    ("page", "lookup", "value"),
    [
        ("accounts_user", "role__exact", "clinician"),
        ("consults_consult", "created_at__gte", "2020-01-01 00:00:00+00:00"),
        ("consults_consent", "act__exact", "given"),
    ],
)
def test_the_filters_of_the_page_work(cast, page, lookup, value):
    bring_to("admitted", cast.clinician, cast.patient)
    answer = sign_in(cast.officer).get(reverse(f"admin:{page}_changelist"), {lookup: value})
    assert answer.status_code == 200
    assert answer.context["cl"].result_count


def test_the_list_of_consults_names_the_own_clinics_people_only(cast):
    bring_to("waiting", cast.outsider, cast.outsiders_patient)
    mine = bring_to("waiting", cast.clinician, cast.patient)
    bring_to("waiting", cast.colleague, cast.colleagues_patient)
    browser, page = sign_in(cast.officer), reverse("admin:consults_consult_changelist")
    assert "Outsider" not in browser.get(page).content.decode()
    chosen = browser.get(page, {"clinician": str(cast.clinician.pk)})
    assert [c.pk for c in chosen.context["cl"].result_list] == [mine.consult.pk]
    for odd in ("x", str(cast.outsider.pk)):
        assert browser.get(page, {"clinician": odd}).status_code == 200
