import os, time, random, statistics
from datetime import timedelta
import pytest
from django.db import connection
from django.utils import timezone
from django.urls import reverse
from tests.cast import bring_to, sign_in
from tests.consults.test_audit_plans import fill
from tests.consults.audit_log import LIST
from consults import audit_activity, audit_lists, audit_files
from vault.models import AuditEntry

def timed(browser, addresses, n):
    took=[]
    for i in range(n):
        a=addresses[i%len(addresses)]() if callable(addresses[0]) else addresses[i%len(addresses)]
        t=time.perf_counter(); r=browser.get(a); took.append((time.perf_counter()-t)*1000)
        assert r.status_code==200,a
    took.sort()
    return f"p50 {statistics.median(took):7.1f}  p95 {took[int(len(took)*.95)-1]:7.1f}  max {took[-1]:7.1f} ms"

def test_measure(cast, capsys):
    rows=int(os.environ["ROWS"])
    consult=bring_to("started",cast.clinician,cast.patient).consult
    t=time.time(); fill(cast,consult,rows); filled=time.time()-t
    with capsys.disabled():
        print(f"\n{rows} rows in {filled:.0f}s")
        with connection.cursor() as c:
            c.execute("select pg_size_pretty(pg_total_relation_size('vault_auditentry'))"); print(c.fetchone())
        office=sign_in(cast.officer)
        top=audit_lists.newest_id()
        r=lambda: random.randrange(1,top)
        p,q,cc=cast.clinician.pk,cast.patient.pk,consult.pk
        day=lambda: (timezone.localdate()-timedelta(days=random.randrange(1,360))).isoformat()
        kinds={
         "first page with what stands out":[LIST],
         "page in the middle":[lambda: f"{LIST}?before={r()}"],
         "last page":[f"{LIST}?oldest"],
         "action 1 in 10":[lambda: f"{LIST}?action=patient.reveal&before={r()}"],
         "action 1 in 10,007":[lambda: f"{LIST}?action=patient.break_glass&before={r()}"],
         "action there is none of":[lambda: f"{LIST}?action=consent.withdraw&before={r()}"],
         "refused":[lambda: f"{LIST}?outcome=refused&before={r()}"],
         "a day":[lambda: (lambda d: f"{LIST}?since={d}&until={d}")(day())],
         "a person":[lambda: f"{LIST}?person={p}&before={r()}"],
         "a person and rare action":[lambda: f"{LIST}?person={p}&action=patient.break_glass&before={r()}"],
         "a patient":[lambda: f"{LIST}?patient={q}&before={r()}"],
         "a day of a person":[lambda: (lambda d: f"{LIST}?person={p}&since={d}&until={d}")(day())],
         "timeline patient":[reverse("admin:vault_auditentry_patient",args=[q])],
         "timeline patient oldest":[reverse("admin:vault_auditentry_patient",args=[q])+"?order=oldest"],
         "timeline person":[reverse("admin:vault_auditentry_person",args=[p])],
         "timeline consult":[reverse("admin:vault_auditentry_consult",args=[cc])],
        }
        for k,a in kinds.items(): print(f"{k:35s}",timed(office,a,40))
        act=reverse("admin:vault_auditentry_activity")
        for s in audit_activity.SPANS:
            t=time.perf_counter(); x=office.get(act,{"span":s}); first=(time.perf_counter()-t)*1000
            print(f"activity {s:10s} uncounted first: {first:7.1f} ms, uncounted {x.context['uncounted']}")
        t=time.time()
        for _ in range(100):
            audit_activity.keep_up()
            if not office.get(act,{"span":"year"}).context['uncounted']: break
        print(f"counting a year {time.time()-t:.1f}s")
        for s in audit_activity.SPANS: print(f"activity {s:10s}",timed(office,[f"{act}?span={s}"],20))
        for form in ("csv","jsonl"):
            t=time.time(); n=0
            ans=office.post(reverse("admin:vault_auditentry_export"),{"form":form})
            import resource
            m0=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for piece in ans.streaming_content: n+=len(piece)
            print("rss before/after MB", m0//1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss//1024)
            print(f"export {form} {time.time()-t:.1f}s {n/1e6:.0f} MB")
