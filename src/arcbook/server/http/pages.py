"""Pages for people with a browser, without external content: the server and its API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

import msgspec

DOCS_PATH: Final = "/docs"

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:2rem;border-bottom:1px solid #8886}summary{cursor:pointer}
code,pre{font:13px/1.4 ui-monospace,monospace}pre{overflow:auto;background:#8881;padding:.6rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.1rem .8rem .1rem 0;vertical-align:top}
details{margin:.3rem 0}.method{display:inline-block;width:4.5rem;font-weight:600}
"""

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


def start_page(described: Mapping[str, Any], openapi_path: str) -> str:
    """Return the page at ``/``: what this is, and its links."""
    version = described["info"]["version"]
    links = {
        DOCS_PATH: "the routes of the API, with examples",
        openapi_path: "the same as OpenAPI 3.1, for tools",
        "/api/health": "whether the server can work",
        "/api/executions": "the newest executions, as JSON",
        "/api/dashboard/stats": "numbers of executions and documents",
    }
    rows = [f'<tr><td><a href="{path}">{path}</a></td><td>{text}</td></tr>'
            for path, text in links.items()]  # fmt: skip
    body = f"<p>Arcbook {_text(version)} runs NoETL playbooks. On a terminal:</p>"
    body += "<pre>arcbook --server THIS-ADDRESS run playbook.yaml</pre>"
    return _page("Arcbook", f"{body}<table>{''.join(rows)}</table>")


def docs_page(described: Mapping[str, Any], openapi_path: str) -> str:
    """Return the OpenAPI document as a page."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            group = by_tag.setdefault(operation["tags"][0], [])
            group.append(_operation(method, path, operation))
    parts = [f"<p>{_text(described['info']['description'])} The same as",
             f'<a href="{openapi_path}">OpenAPI 3.1</a>.</p>']  # fmt: skip
    for tag, operations in by_tag.items():
        parts += [f"<h2>{_text(tag)}</h2>", *operations]
    parts.append("<h2>Shapes</h2>")
    for name, schema in sorted(described["components"]["schemas"].items()):
        parts.append(
            f'<details id="{_text(name)}"><summary><code>{_text(name)}</code></summary>'
            f"{_json(schema)}</details>"
        )
    return _page("API of Arcbook", "\n".join(parts))


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    head = (
        f'<summary><code class="method">{method.upper()}</code>'
        f"<code>{_text(path)}</code> {_text(operation['summary'])}</summary>"
    )
    parts = [f"<p>{_text(operation['description'])}</p>", _parameters(operation["parameters"])]
    parts += _contents("Body", operation.get("requestBody", {}).get("content", {}))
    for status, response in operation["responses"].items():
        parts.append(
            f"<p><code>{_text(status)}</code> {_text(response.get('description', ''))}</p>"
        )
        if str(status).startswith("2"):
            parts += _contents("Answer", response.get("content", {}))
    return f"<details>{head}{''.join(parts)}</details>"


def _parameters(parameters: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        f"<tr><td><code>{_text(p['name'])}</code></td><td>{_text(p['in'])}</td>"
        f"<td>{_text(p.get('description', ''))}</td></tr>"
        for p in parameters
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _contents(title: str, contents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for media_type, content in contents.items():
        lines.append(f"<p>{title}: <code>{_text(media_type)}</code> {_shape(content)}</p>")
        if content.get("example") is not None:
            lines.append(_json(content["example"]))
    return lines


def _shape(content: Mapping[str, Any]) -> str:
    """Return a link to the schema of a body, if it has a name."""
    schema = content.get("schema", {})
    name = str(schema.get("$ref", schema.get("items", {}).get("$ref", ""))).rpartition("/")[2]
    return f'<a href="#{_text(name)}">{_text(name)}</a>' if name else ""


def _json(value: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre>{_text(text)}</pre>"


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=title, style=_STYLE, body=body)


def _text(value: object) -> str:
    return escape(str(value))
