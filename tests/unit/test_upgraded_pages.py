"""Pagination of the first version fetches the pages that it names, and returns their items."""

from __future__ import annotations

from typing import Any

import pytest
from playbooks import playbook

from arcbook.dsl.load import load_playbook
from arcbook.events.types import StepResult
from arcbook.testing.local import Ran, play
from unit.lint_cases import HEAD, KINDS

PAGES = {1: ["a", "b"], 2: ["c"], 3: ["d"]}


class Site:
    """Answers with pages of items, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def answer(self, call: Any) -> Any:
        self.asked.append(call.config)
        number = int(call.config.get("params", {}).get("page", 0) or call.config["url"][-1])
        more = number < len(PAGES)
        page = {"items": PAGES[number], "page": number, "more": more, "only": PAGES[number][0]}
        return page | {"next": f"http://site/{number + 1}"}


def fetched(pagination: str, task: str = "url: http://site, params: {page: 1, size: 9}") -> Any:
    site = Site()
    text = playbook(f"""
        - step: start
          tool: {{kind: web, {task}}}
          loop: {{pagination: {{{pagination}}}}}
        """)
    ran = play(text, {"web": site.answer})
    assert ran.status == "COMPLETED"
    return last_data(ran), site.asked


def last_data(ran: Ran) -> Any:
    """Return what the last task of the first step returned."""
    result = ran.state.results["start"]
    assert isinstance(result, StepResult)
    return result.tasks[result.last].data


NEXT = (
    "continue_while: '{{ response.more }}', "
    "next_page: {params: {page: '{{ response.page + 1 }}'}}, merge_path: data.items"
)


@pytest.mark.parametrize(
    ("more", "items"),
    [
        ("", ["a", "b", "c", "d"]),
        (", merge_strategy: append", ["a", "b", "c", "d"]),
        (", merge_strategy: extend", ["a", "b", "c", "d"]),
        (", merge_strategy: collect", [["a", "b"], ["c"], ["d"]]),
        (", merge_strategy: replace", ["d"]),
        (", max_iterations: 2", ["a", "b", "c"]),
        (", max_pages: 1", ["a", "b"]),
        (", max_iterations: '{{ 1 + 1 }}'", ["a", "b", "c"]),
    ],
)
def test_pages_are_merged_as_the_strategy_says(more, items):
    result, asked = fetched(NEXT + more)

    assert result == items
    assert [request["params"]["page"] for request in asked] == [1, 2, 3][: len(asked)]
    assert all(request["params"]["size"] == 9 for request in asked)


def test_an_item_that_is_no_list_is_one_item():
    result, _ = fetched(NEXT.replace("data.items", "data.only"))

    assert result == ["a", "c", "d"]


def test_without_a_path_each_page_is_an_item():
    result, _ = fetched(NEXT.partition(", merge_path")[0])

    assert [page["page"] for page in result] == [1, 2, 3]


@pytest.mark.parametrize("key", ["url", "endpoint"])
def test_the_next_page_may_be_another_address(key):
    result, asked = fetched(
        f"continue_while: '{{{{ response.more }}}}', next_page: {{{key}: '{{{{ response.next }}}}'}},"
        " merge_path: data.items",
        task="url: http://site/1",
    )

    assert result == ["a", "b", "c", "d"]
    assert [request["url"] for request in asked] == [
        "http://site/1", "http://site/2", "http://site/3",
    ]  # fmt: skip


def test_a_retry_with_a_next_call_fetches_pages():
    site = Site()
    text = playbook("""
        - step: start
          tool:
            kind: web
            url: http://site
            params: {page: 1}
            retry:
            - when: "{{ response.more == true }}"
              then:
                max_attempts: 2
                next_call: {params: {page: "{{ response.page + 1 }}"}}
                collect: {strategy: append, path: items, into: found}
        """)
    ran = play(text, {"web": site.answer})

    assert last_data(ran) == ["a", "b", "c"]
    assert [request["params"]["page"] for request in site.asked] == [1, 2]


def test_what_a_page_adds_to_a_request_need_not_be_in_the_first():
    result, asked = fetched(
        "continue_while: '{{ response.more }}', next_page: {headers: {cursor: '{{ response.page }}'},"
        " params: {page: '{{ response.page + 1 }}'}}, merge_path: data.items"
    )

    assert result == ["a", "b", "c", "d"]
    assert [request["headers"]["cursor"] for request in asked] == [None, 1, 2]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("{next_page: {params: {page: 2}}}", "while what it goes on"),
        ("{continue_while: a}", "what the next page is"),
        ("{continue_while: a, next_page: {params: {p: 1}}, merge_strategy: shuffle}", "'shuffle'"),
        ("{continue_while: a, next_page: {params: 5}}", "changes 'params'"),
        ("{continue_while: a, next_page: {method: POST}}", "changes 'method'"),
        ("{continue_while: a, next_page: {url: b}, until: c}", "'until' has no counterpart"),
    ],
)
def test_pagination_that_cannot_be_upgraded_says_why(block, said):
    text = f"workflow:\n- step: start\n  tool: {{kind: http, url: u}}\n  loop: {{pagination: {block}}}\n"
    loaded = load_playbook(HEAD + text, KINDS)

    (problem,) = [d for d in loaded.errors if d.code == "ARC501"]
    assert said in problem.message
