"""The files of a new package that adds a tool kind."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Final

from arcbook.cli.errors import UserError

KIND_CHARACTERS_MAX: Final = 40
"""Length of a kind's name."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]+(_[a-z0-9]+)*")

_YAML_WORDS: Final = frozenset({"false", "no", "null", "off", "on", "true", "yes"})
"""Names that YAML reads as other values."""


def is_kind_name(text: str) -> bool:
    """Return whether a kind can have a name."""
    return (
        len(text) <= KIND_CHARACTERS_MAX
        and _NAME.fullmatch(text) is not None
        and text not in _YAML_WORDS
    )


def make_package(kind: str, parent: Path) -> Path:
    """Create the folder of a package for a kind, and return it.

    Raises:
        UserError: the folder exists, or cannot be written.
    """
    folder = parent / f"arcbook-{_dashed(kind)}"
    try:
        folder.mkdir(parents=True)
        for name, text in package_files(kind).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    except FileExistsError:
        raise UserError(f"{folder} exists: choose another name, or another folder") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be created: {error.strerror or error}") from None
    return folder


def package_files(kind: str) -> dict[str, str]:
    """Return the files of a package for a kind, by their path."""
    module = f"arcbook_{kind}"
    texts = {
        "pyproject.toml": PROJECT,
        "README.md": README,
        f"docs/{kind}.md": PAGE,
        f"src/{module}/__init__.py": SOURCE,
        f"src/{module}/py.typed": "",
        f"tests/test_{kind}.py": TESTS,
        f"{kind}.yaml": PLAYBOOK,
    }
    words = {
        "@KIND@": kind,
        "@MODULE@": module,
        "@PACKAGE@": f"arcbook-{_dashed(kind)}",
        "@CLASS@": "".join(part.capitalize() for part in kind.split("_")),
    }
    return {name: _filled(text, words) for name, text in texts.items()}


def _filled(text: str, words: dict[str, str]) -> str:
    for mark, word in words.items():
        text = text.replace(mark, word)
    return textwrap.dedent(text).lstrip("\n")


def _dashed(kind: str) -> str:
    return kind.replace("_", "-")


PROJECT: Final = """
[build-system]
requires = ["hatchling>=1.25"]
build-backend = "hatchling.build"

[project]
name = "@PACKAGE@"
version = "0.1.0"
description = "The tool kind @KIND@ for Arcbook"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["arcbook"]

[project.optional-dependencies]
test = ["pytest>=8", "pytest-asyncio>=0.24"]

[project.entry-points."arcbook.tools"]
@KIND@ = "@MODULE@:SPEC"

[tool.hatch.build.targets.wheel]
packages = ["src/@MODULE@"]

[tool.pytest.ini_options]
asyncio_mode = "auto"
testpaths = ["tests"]
"""

README: Final = """
# @PACKAGE@

The tool kind `@KIND@` for Arcbook. [docs/@KIND@.md](docs/@KIND@.md) describes its parameters and results.

```sh
pip install -e '.[test]'
pytest                          # the contract suite of all tools, and its own tests
arcbook tool show @KIND@
arcbook run @KIND@.yaml
```
"""

PAGE: Final = """
# @KIND@

Counts the words of a text.

```yaml
tool:
  kind: @KIND@
  text: "{{ workload.text }}"
```

## Parameters

| name | default | what it is |
|---|---|---|
| `text` | required | The text. |
| `longest` | `false` | Whether to return the longest word, too. |

## Result

| field | what it is |
|---|---|
| `words` | how many words the text has |
| `longest` | the longest word, or null |

A call has no effects, so it may be repeated.

## Errors

| kind | code | when |
|---|---|---|
| `config` | `CONFIG` | a parameter is missing, or has the wrong type |
| `schema` | `NO_WORDS` | the longest word of a text without words is asked for |
"""

SOURCE: Final = '''
"""The tool kind ``@KIND@``: counts the words of a text."""

from __future__ import annotations

from typing import Annotated

from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare, parse
from arcbook.tools.spec import ToolSpec
from msgspec import Meta


class @CLASS@Params(Params, frozen=True, kw_only=True):
    """Parameters of ``@KIND@``."""

    text: Annotated[str, Meta(description="The text.")]
    longest: Annotated[bool, Meta(description="Whether to return the longest word, too.")] = False


KIND = declare(
    "@KIND@",
    @CLASS@Params,
    "Counts the words of a text.",
    effects=(Effects.NONE,),
    result={"words": "how many words the text has", "longest": "the longest word, or null"},
    example="""
        kind: @KIND@
        text: to be or not to be
        """,
)


class @CLASS@Tool:
    """Counts words. It keeps nothing between calls."""

    def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        """Perform one call."""
        params = parse(@CLASS@Params, call)
        if isinstance(params, Outcome):
            return params
        words = params.text.split()
        if params.longest and not words:
            message = "the text has no words: pass one that has, or leave 'longest' out"
            return failed(ErrorKind.SCHEMA, message, code="NO_WORDS")
        longest = max(words, key=len) if params.longest else None
        return ok({"words": len(words), "longest": longest})

    async def close(self) -> None:
        """Release connections and processes; there are none."""


SPEC = ToolSpec(kind=KIND, factory=@CLASS@Tool)
'''

TESTS: Final = '''
"""The tool ``@KIND@`` keeps the contract of all tools, and counts words."""

from __future__ import annotations

from pathlib import Path

import pytest
from arcbook.testing.contracts.tool import Failure, ToolContract
from arcbook.testing.tools import call_tool

from @MODULE@ import SPEC


class Test@CLASS@(ToolContract):
    """What all tools promise, of this one."""

    spec = SPEC
    config = {"text": "to be or not to be"}
    failures = {
        "the longest of no words": Failure({"text": " ", "longest": True}, kind="schema"),
    }


@pytest.mark.parametrize(
    ("text", "words", "longest"), [("to be", 2, "to"), ("a  bcd\\nef", 3, "bcd")]
)
async def test_words_are_counted(text: str, words: int, longest: str) -> None:
    outcome = await call_tool(SPEC.factory(), "@KIND@", {"text": text, "longest": True})

    assert outcome.data == {"words": words, "longest": longest}


def test_the_page_describes_every_parameter() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "@KIND@.md").read_text("utf-8")

    for param in SPEC.kind.params:
        assert f"| `{param.name}` |" in page
'''

PLAYBOOK: Final = """
apiVersion: noetl.io/v2
kind: Playbook
metadata:
  name: @KIND@
  path: examples/@KIND@
workload:
  text: to be or not to be
workflow:
  - step: start
    tool:
      kind: @KIND@
      text: "{{ workload.text }}"
      longest: true
"""
