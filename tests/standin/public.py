"""What public hosts answer, as far as the corpus reads it."""

from __future__ import annotations

from typing import Any, Final

POSTS: Final = 100
AUTHORS: Final = 10
DATA_ITEMS: Final = 250

_TEXT: Final = (
    "sunt aut facere repellat provident occaecati excepturi optio reprehenderit est rerum "
    "tempore vitae sequi sint nihil qui esse dolor beatae neque fugiat blanditiis voluptate"
)
_WORDS: Final = tuple(_TEXT.split())


def _words(seed: int, count: int) -> list[str]:
    return [_WORDS[(seed * 7 + i * 5) % len(_WORDS)] for i in range(count)]


def post(number: int) -> dict[str, Any]:
    """Return a post of jsonplaceholder; its body has several lines."""
    lines = [" ".join(_words(number + line, 6)) for line in range(4)]
    return {
        "userId": (number - 1) // (POSTS // AUTHORS) + 1,
        "id": number,
        "title": " ".join(_words(number, 5)),
        "body": "\n".join(lines),
    }


def author(number: int) -> dict[str, Any]:
    """Return a user of jsonplaceholder."""
    return {
        "id": number,
        "name": f"Author {number}",
        "username": f"author{number}",
        "email": f"author{number}@example.com",
        "address": {"city": f"City {number}", "zipcode": f"{10000 + number}"},
        "phone": f"555-01{number:02}",
        "website": "example.com",
        "company": {"name": f"Company {number}"},
    }


def forecast(latitude: float, longitude: float, query: dict[str, str]) -> dict[str, Any]:
    """Return a forecast of open-meteo: all three of its shapes, each as far as it is asked for.

    A request that asks for none of them gets all of them.
    """
    warmth = round(25 - abs(latitude) / 4 + longitude % 3, 1)
    hours = [f"2024-01-01T{hour:02}:00" for hour in range(24)]
    asked = {"current", "hourly", "current_weather"} & set(query)
    found: dict[str, Any] = {"latitude": latitude, "longitude": longitude, "timezone": "GMT"}
    if not asked or "current" in asked:
        names = query.get("current", "temperature_2m").split(",")
        found["current"] = {"time": hours[12], "interval": 900, **dict.fromkeys(names, warmth)}
    if not asked or "hourly" in asked:
        names = query.get("hourly", "temperature_2m").split(",")
        series = [round(warmth + hour / 10, 1) for hour in range(24)]
        found["hourly"] = {"time": hours, **dict.fromkeys(names, series)}
    if not asked or query.get("current_weather", "").lower() == "true":
        found["current_weather"] = {
            "time": hours[12],
            "temperature": warmth,
            "windspeed": 11.5,
            "winddirection": 230,
            "weathercode": 3,
            "is_day": 1,
        }
    return found


def repository(owner: str, name: str) -> dict[str, Any]:
    """Return a repository as GitHub describes it."""
    return {
        "id": 41881900,
        "name": name,
        "full_name": f"{owner}/{name}",
        "owner": {"login": owner},
        "description": f"The repository {name}",
        "stargazers_count": 160_000,
        "watchers_count": 160_000,
        "forks_count": 28_000,
        "open_issues_count": 9_000,
        "language": "TypeScript",
        "created_at": "2015-09-03T20:23:38Z",
        "updated_at": "2024-01-01T00:00:00Z",
    }


def summary(title: str) -> dict[str, Any]:
    """Return a page of Wikipedia in short.

    There is no apostrophe in it: playbooks paste it between the quotes of SQL.
    """
    return {
        "type": "standard",
        "title": title,
        "displaytitle": title,
        "description": "Database class for storage and retrieval of modeled data",
        "extract": f"{title} refers to a type of database design that stores and retrieves "
        "data differently from the traditional table structure of relational databases.",
        "timestamp": "2024-01-01T00:00:00Z",
        "lang": "en",
    }


def data_page(page: int, size: int) -> dict[str, Any]:
    """Return a page of the example API, under both names by which its items are read."""
    first = (page - 1) * size + 1
    items = [
        {"id": i, "name": f"Item {i}", "value": i * 10}
        for i in range(first, min(first + size, DATA_ITEMS + 1))
    ]
    return {
        "items": items,
        "data": items,
        "paging": {"hasMore": page * size < DATA_ITEMS, "page": page, "total": DATA_ITEMS},
    }


def account(identity: str) -> dict[str, Any]:
    """Return a user of the example API; one whose id ends in 0 is inactive."""
    return {
        "id": identity,
        "name": f"User {identity}",
        "email": f"user{identity}@example.com",
        "status": "inactive" if identity.endswith("0") else "active",
        "created_at": "2023-05-01T12:00:00Z",
    }


NUMBERED_ITEMS: Final = 250
"""Items that come in pages with ``meta``."""


def numbered_items(page: int, size: int) -> dict[str, Any]:
    """Return a page of numbered items, and whether there is a further one."""
    first = (page - 1) * size
    numbers = range(first + 1, min(first + size, NUMBERED_ITEMS) + 1)
    return {
        "items": [{"id": n, "name": f"item {n}", "value": n / 2} for n in numbers],
        "meta": {"page": page, "has_more": first + size < NUMBERED_ITEMS},
    }
