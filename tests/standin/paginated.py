"""Routes of the paginated test API, at the root of the stand-in."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from aiohttp import web

from standin import clinic, lists
from standin.answers import WORLD, answer, complain, number, whole

PFT_REQUESTS_PER_SECOND: Final = 50
DELAY_SECONDS_MAX: Final = 300
TIMEOUT_SECONDS: Final = 30

routes = web.RouteTableDef()
API: Final = "/api/v1"


@routes.get("/health")
async def health(_: web.Request) -> web.Response:
    return answer({"status": "ok"})


# -- lists ----------------------------------------------------------------------------


@routes.get(f"{API}/assessments")
async def assessments(request: web.Request) -> web.Response:
    return answer(lists.assessments(whole(request, "page", 1), whole(request, "pageSize", 10)))


@routes.get(f"{API}/users")
async def users(request: web.Request) -> web.Response:
    return answer(lists.users(whole(request, "offset", 0), whole(request, "limit", 10)))


@routes.get(f"{API}/events")
async def events(request: web.Request) -> web.Response:
    cursor = request.query.get("cursor")
    if cursor in ("None", "null"):
        cursor = None
    try:
        return answer(lists.events(cursor, whole(request, "limit", 10)))
    except ValueError as error:
        return complain(400, str(error))


@routes.get(f"{API}/flaky")
async def flaky(request: web.Request) -> web.Response:
    page = whole(request, "page", 1)
    fails = {part.strip() for part in request.query.get("fail_on", "").split(",")}
    if str(page) in fails and request.app[WORLD].fails_first(str(page)):
        return complain(500, f"page {page} fails the first time")
    return answer(lists.assessments(page, whole(request, "pageSize", 10)))


@routes.post(f"{API}/flaky/reset")
async def flaky_reset(request: web.Request) -> web.Response:
    request.app[WORLD].failed_pages.clear()
    return answer({"status": "reset"})


@routes.get(f"{API}/heavy")
async def heavy(request: web.Request) -> web.Response:
    page, size = whole(request, "page", 1), whole(request, "pageSize", 10)
    return answer(lists.heavy(page, size, number(request, "payload_kb", 10)))


@routes.get(f"{API}/reference-chain/items")
async def chain(request: web.Request) -> web.Response:
    return answer(
        lists.chain(
            whole(request, "page", 1),
            whole(request, "pageSize", 25),
            whole(request, "total", 382),
            number(request, "payload_kb", 1),
            request.query.get("ref_mode", "linked"),
            whole(request, "chain_window", 5),
        )
    )


@routes.get(API + r"/reference-chain/detail/{id:-?\d+}")
async def chain_detail(request: web.Request) -> web.Response:
    identity = int(request.match_info["id"])
    if identity <= 0:
        return complain(404, f"there is no record {identity}")
    if identity > lists.CHAIN_DETAIL_MAX:
        return complain(400, f"record {identity} is out of range")
    return answer(lists.chain_detail(identity))


# -- failures -------------------------------------------------------------------------


@routes.get(f"{API}/errors")
async def errors(request: web.Request) -> web.Response:
    kind = request.query.get("error_type", "500")
    retry_after = request.query.get("retry_after", "1")
    if kind == "timeout":
        await asyncio.sleep(TIMEOUT_SECONDS * request.app[WORLD].pace.pages)
        return answer({"status": "late"})
    status = {"auth": 401, "rate_limit": 429, "server_error": 500, "not_found": 404}.get(kind)
    status = status or (int(kind) if kind.isdigit() else 500)
    headers = {"Retry-After": retry_after} if status in (429, 503) else {}
    return complain(status, f"error of type {kind}", headers)


@routes.get(f"{API}/rate-limited")
async def rate_limited(request: web.Request) -> web.Response:
    allowed = number(request, "requests_per_second", 2)
    if request.app[WORLD].is_over_rate("rate-limited", allowed):
        return _too_many()
    return answer({"status": "ok", "requests_per_second": allowed})


def _too_many() -> web.Response:
    return complain(429, "too many requests", {"Retry-After": "1"})


# -- the concurrency probe ------------------------------------------------------------


@routes.post(f"{API}/concurrency/reset")
async def probe_reset(request: web.Request) -> web.Response:
    request.app[WORLD].probe = type(request.app[WORLD].probe)()
    return answer({"status": "reset"})


@routes.get(f"{API}/concurrency/stats")
async def probe_stats(request: web.Request) -> web.Response:
    probe = request.app[WORLD].probe
    return answer({**probe.stats(), "recent_events": list(probe.recent)})


@routes.get(f"{API}/concurrency/probe")
async def probe_call(request: web.Request) -> web.Response:
    delay = number(request, "delay_seconds", 0)
    if not 0 <= delay <= DELAY_SECONDS_MAX:
        return complain(422, f"delay_seconds is 0 to {DELAY_SECONDS_MAX}")
    world = request.app[WORLD]
    label = request.query.get("label", "")
    return answer(await world.probe.call(delay, label, world.pace.probes))


# -- patients -------------------------------------------------------------------------


@routes.get(f"{API}/patient-records")
async def patient_records(request: web.Request) -> web.Response:
    world = request.app[WORLD]
    if world.is_over_rate("records", number(request, "rate_limit", 50) * world.pace.rates):
        return _too_many()
    patient, page = request.query.get("patientId", ""), whole(request, "page", 1)
    if not 1 <= page <= clinic.record_pages(patient):
        return complain(404, f"patient {patient} has no page {page}")
    least, most = number(request, "min_delay", 2), number(request, "max_delay", 4)
    await asyncio.sleep(random.uniform(least, most) * world.pace.pages)
    size, payload_kb = whole(request, "pageSize", 10), number(request, "payload_kb", 100)
    return answer(clinic.records(patient, page, size, payload_kb, f"{API}/patient-records"))


def _limited(request: web.Request) -> bool:
    world = request.app[WORLD]
    return world.is_over_rate("pft", PFT_REQUESTS_PER_SECOND * world.pace.rates)


def _patient(request: web.Request) -> Any:
    """Return the patient's id: a number, as ids of this flow are."""
    text = request.query.get("patientId", "")
    return int(text) if text.isdigit() else text


@routes.get(f"{API}/patient/demographics")
async def demographics(request: web.Request) -> web.Response:
    return _too_many() if _limited(request) else answer(clinic.demographics(_patient(request)))


@routes.get(API + "/patient/{kind:assessments|conditions|medications|vital_signs}")
async def patient_page(request: web.Request) -> web.Response:
    if _limited(request):
        return _too_many()
    kind, page = request.match_info["kind"], whole(request, "page", 1)
    if not 1 <= page <= clinic.pages(_patient(request), kind):
        return complain(404, f"there is no page {page}")
    return answer(clinic.page_of(_patient(request), kind, page))


@routes.get(f"{API}/mds/assessment_ids")
async def mds_ids(request: web.Request) -> web.Response:
    if _limited(request):
        return _too_many()
    found = clinic.mds_ids(_patient(request), whole(request, "page", 1))
    return answer({"data": found, "patientId": _patient(request), "count": len(found)})


@routes.get(API + "/mds/assessment/{id}")
async def mds_assessment(request: web.Request) -> web.Response:
    if _limited(request):
        return _too_many()
    return answer({"data": clinic.mds_detail(request.match_info["id"])})


@routes.get(f"{API}/pft/mds/details")
async def mds_details(request: web.Request) -> web.Response:
    if _limited(request):
        return _too_many()
    identity = request.query.get("assessmentId", "")
    if not identity or "," in identity:
        return complain(400, "assessmentId is exactly one id")
    row = {"assessment_id": identity, "payload": clinic.mds_detail(identity)}
    return answer({"rowCount": 1, "rows": [row]})


@routes.get(
    API + "/pft/batch/{kind:assessments|conditions|medications|vital_signs|demographics|mds}"
)
async def pft_batch(request: web.Request) -> web.Response:
    wanted = [part for part in request.query.get("patientIds", "").split(",") if part.strip()]
    if not all(part.strip().isdigit() for part in wanted):
        return complain(400, "patientIds are numbers")
    if not 0 < len(wanted) <= clinic.BATCH_PATIENTS_MAX:
        return complain(400, f"patientIds are 1 to {clinic.BATCH_PATIENTS_MAX}")
    per_facility = whole(request, "patientsPerFacility", 1000)
    return answer(clinic.batch(request.match_info["kind"], [int(p) for p in wanted], per_facility))
