"""Routes of public hosts, each below ``/host/<name>``."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from aiohttp import web

from standin import public
from standin.answers import FILES, WORLD, answer, complain, number, whole

routes = web.RouteTableDef()

PLACEHOLDER: Final = "/host/jsonplaceholder.typicode.com"
HTTPBIN: Final = "/host/httpbin.org"
EXAMPLE: Final = "/host/api.example.com"
LOCAL: Final = "/host/local-api"
GATEWAY: Final = "/host/gateway"
GCS: Final = "/host/fake-gcs"
ECHO: Final = "/host/echo"


# -- jsonplaceholder ------------------------------------------------------------------


@routes.get(f"{PLACEHOLDER}/posts")
async def posts(request: web.Request) -> web.Response:
    wanted = request.query.get("userId")
    found = [public.post(i) for i in range(1, public.POSTS + 1)]
    return answer([p for p in found if wanted in (None, str(p["userId"]))])


@routes.get(PLACEHOLDER + r"/posts/{id:\d+}")
async def post(request: web.Request) -> web.Response:
    identity = int(request.match_info["id"])
    return answer(public.post(identity)) if identity <= public.POSTS else answer({}, 404)


@routes.post(f"{PLACEHOLDER}/posts")
async def new_post(request: web.Request) -> web.Response:
    return answer({**(await _json(request) or {}), "id": public.POSTS + 1}, 201)


@routes.get(f"{PLACEHOLDER}/users")
async def authors(_: web.Request) -> web.Response:
    return answer([public.author(i) for i in range(1, public.AUTHORS + 1)])


@routes.get(PLACEHOLDER + r"/users/{id:\d+}")
async def author(request: web.Request) -> web.Response:
    return answer(public.author(int(request.match_info["id"])))


# -- httpbin --------------------------------------------------------------------------


@routes.route("*", HTTPBIN + r"/status/{code:\d+}")
async def status(request: web.Request) -> web.Response:
    return answer({}, int(request.match_info["code"]))


@routes.get(HTTPBIN + r"/delay/{seconds:\d+}")
async def delay(request: web.Request) -> web.Response:
    await asyncio.sleep(int(request.match_info["seconds"]) * request.app[WORLD].pace.pages)
    return answer(await _mirror(request))


@routes.route("*", HTTPBIN + "/{path:.*}")
async def mirror(request: web.Request) -> web.Response:
    return answer(await _mirror(request))


async def _mirror(request: web.Request) -> dict[str, Any]:
    """Return what a request was, as httpbin does."""
    is_form = request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data")
    form = {k: str(v) for k, v in (await request.post()).items()} if is_form else {}
    text = "" if is_form else await request.text()
    return {
        "args": dict(request.query),
        "data": text,
        "files": {},
        "form": form,
        "headers": {str(name): value for name, value in request.headers.items()},
        "json": await _json(request) if text else None,
        "method": request.method,
        "origin": request.remote,
        "url": str(request.url),
    }


async def _json(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return None


# -- single pages ---------------------------------------------------------------------


@routes.get("/host/api.open-meteo.com/v1/forecast")
async def forecast(request: web.Request) -> web.Response:
    latitude, longitude = number(request, "latitude", 0), number(request, "longitude", 0)
    return answer(public.forecast(latitude, longitude, dict(request.query)))


@routes.get("/host/api.github.com/repos/{owner}/{name}")
async def repository(request: web.Request) -> web.Response:
    return answer(public.repository(request.match_info["owner"], request.match_info["name"]))


@routes.get("/host/en.wikipedia.org/api/rest_v1/page/summary/{title}")
async def summary(request: web.Request) -> web.Response:
    return answer(public.summary(request.match_info["title"]))


@routes.get("/host/raw.githubusercontent.com/{path:.*}")
async def raw(request: web.Request) -> web.Response:
    path = FILES / request.match_info["path"].rpartition("/")[2]
    if path.parent != FILES or not path.is_file():
        return complain(404, f"there is no {path.name}")
    return web.Response(text=path.read_text("utf-8"), content_type="text/plain")


@routes.get(f"{EXAMPLE}/ping")
async def ping(_: web.Request) -> web.Response:
    return answer({"ok": True})


@routes.get(f"{EXAMPLE}/items")
async def numbered_items(request: web.Request) -> web.Response:
    page, size = whole(request, "page", 1), whole(request, "per_page", 100)
    return answer(public.numbered_items(page, size))


@routes.get(f"{EXAMPLE}/data")
async def data_page(request: web.Request) -> web.Response:
    return answer(public.data_page(whole(request, "page", 1), whole(request, "pageSize", 100)))


@routes.get(EXAMPLE + "/users/{id}")
async def account(request: web.Request) -> web.Response:
    return answer(public.account(request.match_info["id"]))


@routes.post("/host/test.api.amadeus.com/v1/security/oauth2/token")
async def token(_: web.Request) -> web.Response:
    return answer({"access_token": "stand-in", "token_type": "Bearer", "expires_in": 1799})


@routes.get("/host/noetl/health")
@routes.get("/host/noetl/api/health")
async def control_plane(_: web.Request) -> web.Response:
    return answer({"status": "ok"})


# -- hosts that take things -----------------------------------------------------------


@routes.post(f"{GATEWAY}/api/internal/callback")
@routes.post(f"{GATEWAY}/api/internal/callback/async")
async def callback(_: web.Request) -> web.Response:
    return answer({"status": "ok"}, 202)


@routes.post(GCS + "/upload/storage/v1/b/{bucket}/o")
async def upload(request: web.Request) -> web.Response:
    bucket, name = request.match_info["bucket"], request.query.get("name", "")
    data = await request.read()
    request.app[WORLD].objects.setdefault(bucket, {})[name] = len(data)
    return answer({"kind": "storage#object", "bucket": bucket, "name": name, "size": len(data)})


@routes.get(GCS + "/storage/v1/b/{bucket}/o")
async def objects(request: web.Request) -> web.Response:
    held = request.app[WORLD].objects.get(request.match_info["bucket"], {})
    items = [{"name": name, "size": size} for name, size in sorted(held.items())]
    return answer({"kind": "storage#objects", "items": items})


@routes.route("*", ECHO + "/{path:.*}")
async def echo(request: web.Request) -> web.Response:
    if not request.app[WORLD].echo_is_on:
        return complain(503, "switched off")
    return answer(await _mirror(request))


# -- a service of one's own, as examples have it --------------------------------------


@routes.get(f"{LOCAL}/health")
async def local_health(_: web.Request) -> web.Response:
    return answer({"status": "ok"})


@routes.post(f"{LOCAL}/api/users")
async def new_user(request: web.Request) -> web.Response:
    return answer({**(await _json(request) or {}), "id": 7}, 201)


@routes.route("*", LOCAL + "/api/users/{id:.+}")
async def local_user(request: web.Request) -> web.Response:
    return answer({"id": request.match_info["id"], "method": request.method})
