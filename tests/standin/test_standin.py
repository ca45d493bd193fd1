"""What the stand-in serves, and the totals that the corpus counts on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from standin import clinic, lists, public
from standin.server import StandIn, StandInProcess
from standin.world import Pace, World

# -- totals ---------------------------------------------------------------------------


def test_500_patients_have_1767_pages_and_17670_records():
    patients = [f"P-{i:04d}" for i in range(1, 501)]
    pages = sum(clinic.record_pages(p) for p in patients)
    records = sum(
        len(clinic.records(p, page, 10, 0, "")["entry"])
        for p in patients
        for page in range(1, clinic.record_pages(p) + 1)
    )

    assert (pages, records) == (1767, 17_670)


@pytest.mark.parametrize(
    ("patients", "expected", "mds"),
    [
        (100, (307, 207, 251, 100), 756),
        (1000, (3000, 2043, 2485, 1000), 7573),
        pytest.param(10_000, (29_898, 19_907, 25_024, 10_000), 75_174, marks=pytest.mark.slow),
    ],
)
def test_the_patient_flow_has_the_totals_of_the_original(patients, expected, mds):
    totals = tuple(
        sum(clinic.pages(p, kind) for p in range(1, patients + 1)) for kind in clinic.RANGES
    )

    assert totals == expected
    assert sum(len(clinic.mds_ids(p)) for p in range(1, patients + 1)) == mds


def test_a_batch_holds_every_page_of_its_patients():
    batch = clinic.batch("assessments", list(range(1, 101)), 50)

    assert batch["patientCount"] == 100
    assert batch["rowCount"] == len(batch["rows"]) == 307
    assert {row["facility_mapping_id"] for row in batch["rows"]} == {1, 2}
    assert sum(row["is_last_page"] for row in batch["rows"]) == 100


def test_assessments_of_a_batch_have_ids_of_their_own():
    rows = clinic.batch("mds", list(range(1, 101)), 1000)["rows"]

    assert len({row["assessment_id"] for row in rows}) == len(rows) == 756


def test_35_items_are_turned_in_each_way():
    pages = [lists.assessments(page, 10) for page in (1, 2, 3, 4)]
    assert [len(p["data"]) for p in pages] == [10, 10, 10, 5]
    assert [p["paging"]["hasMore"] for p in pages] == [True, True, True, False]
    assert pages[0]["data"][0] == {"id": 1, "name": "Assessment 1", "score": 51}

    found, offset = [], 0
    while True:
        page = lists.users(offset, 10)
        found += page["users"]
        if not page["has_more"]:
            break
        offset += 10
    assert [user["id"] for user in found] == list(range(1, 36))

    found, cursor = [], None
    while True:
        page = lists.events(cursor, 10)
        found += page["events"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [event["id"] for event in found] == list(range(1, 36))


def test_a_linked_chain_stays_short_and_an_expanded_one_grows():
    def chain(mode: str) -> int:
        return len(lists.chain(9, 25, 382, 0, mode, 4)["refs"]["chain"])

    assert (chain("linked"), chain("windowed"), chain("expanded")) == (2, 4, 9)
    pages = [lists.chain(page, 25, 382, 0, "linked", 0)["data"] for page in range(1, 17)]
    assert sum(map(len, pages)) == 382


def test_what_is_pasted_into_sql_has_no_apostrophe():
    assert "'" not in "".join(map(str, public.summary("NoSQL").values()))


# -- the server -----------------------------------------------------------------------


@pytest.fixture
async def get() -> AsyncIterator:
    async with StandIn(Pace(pages=0, probes=0.01)) as stand_in, aiohttp.ClientSession() as client:

        async def call(path: str, method: str = "GET", **request):
            async with client.request(method, stand_in.url + path, **request) as response:
                is_json = response.content_type == "application/json"
                body = await response.json() if is_json else await response.text()
                return response.status, body, response.headers

        yield call


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/api/v1/assessments?page=4&pageSize=10", 200),
        ("/api/v1/users?offset=10&limit=5", 200),
        ("/api/v1/events?cursor=", 200),
        ("/api/v1/events?cursor=!", 400),
        ("/api/v1/heavy?page=1&pageSize=2&payload_kb=1", 200),
        ("/api/v1/reference-chain/items", 200),
        ("/api/v1/reference-chain/detail/1", 200),
        ("/api/v1/reference-chain/detail/0", 404),
        ("/api/v1/reference-chain/detail/20001", 400),
        ("/api/v1/errors?error_type=429", 429),
        ("/api/v1/errors?error_type=500", 500),
        ("/api/v1/errors?error_type=auth", 401),
        ("/api/v1/errors?error_type=404", 404),
        ("/api/v1/errors?error_type=timeout", 200),
        ("/api/v1/concurrency/stats", 200),
        ("/api/v1/concurrency/probe?delay_seconds=301", 422),
        ("/api/v1/patient-records?patientId=P-0001&page=1", 200),
        ("/api/v1/patient-records?patientId=P-0001&page=6", 404),
        ("/api/v1/patient/assessments?patientId=1&page=1", 200),
        ("/api/v1/patient/vital_signs?patientId=1&page=2", 404),
        ("/api/v1/patient/demographics?patientId=1", 200),
        ("/api/v1/mds/assessment_ids?patientId=1", 200),
        ("/api/v1/mds/assessment/mds-1-1-1", 200),
        ("/api/v1/pft/mds/details?assessmentId=a", 200),
        ("/api/v1/pft/mds/details?assessmentId=a,b", 400),
        ("/api/v1/pft/batch/conditions?patientIds=1,2", 200),
        ("/api/v1/pft/batch/conditions?patientIds=x", 400),
        ("/api/v1/pft/batch/nonsense?patientIds=1", 404),
        ("/host/httpbin.org/status/503", 503),
        ("/host/raw.githubusercontent.com/a/b/hello_world.py", 200),
        ("/host/raw.githubusercontent.com/a/b/absent.py", 404),
        ("/host/jsonplaceholder.typicode.com/posts/101", 404),
    ],
)
async def test_each_endpoint_answers(get, path, status):
    assert (await get(path))[0] == status


async def test_a_flaky_page_fails_the_first_time_ever_until_it_is_reset(get):
    path = "/api/v1/flaky?page=2&fail_on=1,2"
    statuses = [(await get(path))[0] for _ in range(3)]
    await get("/api/v1/flaky/reset", "POST")

    assert statuses == [500, 200, 200]
    assert (await get(path))[0] == 500


async def test_the_probe_sees_what_runs_together(get):
    await get("/api/v1/concurrency/reset", "POST")
    calls = [get("/api/v1/concurrency/probe?delay_seconds=4&label=x") for _ in range(5)]
    bodies = [body for _, body, _ in await asyncio.gather(*calls)]
    _, stats, _ = await get("/api/v1/concurrency/stats")

    assert {body["label"] for body in bodies} == {"x"}
    assert (stats["started"], stats["completed"], stats["active"]) == (5, 5, 0)
    assert stats["max_active"] > 1


async def test_too_many_requests_a_second_are_refused(get):
    answers = [await get("/api/v1/rate-limited?requests_per_second=2") for _ in range(3)]

    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert answers[-1][2]["Retry-After"] == "1"


def test_limits_that_only_protect_are_scaled():
    world = World(Pace(rates=10))

    assert not any(world.is_over_rate("pft", 5 * world.pace.rates) for _ in range(50))


async def test_posts_have_several_lines_and_belong_to_users(get):
    _, posts, _ = await get("/host/jsonplaceholder.typicode.com/posts")
    _, users, _ = await get("/host/jsonplaceholder.typicode.com/users")

    assert len(posts) == 100
    assert all("\n" in post["body"] for post in posts)
    assert {post["userId"] for post in posts} == {user["id"] for user in users}


async def test_a_mirror_tells_what_it_was_sent(get):
    _, body, _ = await get(
        "/host/httpbin.org/anything/x?traveler_id=7", "POST", json={"blob": "y" * 300_000}
    )

    assert body["args"] == {"traveler_id": "7"}
    assert len(body["json"]["blob"]) == 300_000
    assert body["method"] == "POST"


async def test_a_forecast_has_the_shape_that_is_asked_for(get):
    base = "/host/api.open-meteo.com/v1/forecast?latitude=51&longitude=0"
    _, current, _ = await get(base + "&current=temperature_2m")
    _, hourly, _ = await get(base + "&hourly=temperature_2m")
    _, weather, _ = await get(base + "&current_weather=true")

    assert isinstance(current["current"]["temperature_2m"], float)
    assert len(hourly["hourly"]["temperature_2m"]) == 24
    assert set(weather["current_weather"]) >= {"temperature", "windspeed"}
    assert "hourly" not in current


async def test_a_page_of_data_ends_and_an_account_has_a_status(get):
    _, last, _ = await get("/host/api.example.com/data?page=3&pageSize=100")
    _, user, _ = await get("/host/api.example.com/users/42")

    assert (len(last["items"]), last["paging"]["hasMore"]) == (50, False)
    assert (user["email"], user["status"]) == ("user42@example.com", "active")


async def test_pages_of_numbered_items_tell_of_further_ones(get):
    pages = [(await get(f"/host/api.example.com/items?page={n}"))[1] for n in (1, 2, 3)]

    assert [len(page["items"]) for page in pages] == [100, 100, 50]
    assert [page["meta"]["has_more"] for page in pages] == [True, True, False]


async def test_a_service_of_ones_own_has_health_and_users(get):
    _, health, _ = await get("/host/local-api/health")
    _, made, _ = await get("/host/local-api/api/users", "POST", data=b'{"name": "a"}')
    _, gone, _ = await get("/host/local-api/api/users/7", "DELETE")

    assert (health["status"], made["id"], gone["method"]) == ("ok", 7, "DELETE")


async def test_uploads_are_counted_by_name(get):
    for name in ("a", "b", "a"):
        await get(f"/host/fake-gcs/upload/storage/v1/b/bucket/o?name={name}", "POST", data=b"x")
    _, listed, _ = await get("/host/fake-gcs/storage/v1/b/bucket/o")

    assert [item["name"] for item in listed["items"]] == ["a", "b"]


async def test_the_echo_can_be_switched_off(get):
    before = await get("/host/echo/x", "POST", data=b"x")
    await get("/standin/echo?on=false", "POST")
    after = await get("/host/echo/x", "POST", data=b"x")

    assert (before[0], after[0]) == (200, 503)


async def test_it_runs_in_a_process_of_its_own():
    with StandInProcess(Pace(pages=0)) as stand_in:
        async with aiohttp.ClientSession() as client, client.get(stand_in.url + "/health") as r:
            assert await r.json() == {"status": "ok"}
