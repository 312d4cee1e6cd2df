"""Templates of mails and of webhook bodies."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from node.errors import ConfigError

SAMPLE: dict[str, Any] = {
    "id": "0" * 24, "event": "warning", "time": "2024-01-01T12:00:00+00:00", "node": "ASPECTS",
    "study_uid": "1.2.3", "series_uid": "1.2.3.4", "generation": 1, "state": "DONE",
    "quality": "warn", "reasons": [{"code": "sample", "verdict": "warn", "text": "A sample."}],
    "code": "", "reason": "", "destination": "pacs", "link": None, "notes": [], "patient": None,
}  # fmt: skip
"""Values with which a template is tried."""


def render_mail(template: Path | None, facts: dict[str, Any]) -> tuple[str, str]:
    """Return subject and text of a mail: the first line of the template, and the rest.

    Raises
    ------
    ConfigError
        The template cannot be used.
    """
    subject, _, text = _render(template, "mail.txt", facts).strip().partition("\n")
    return subject.removeprefix("Subject:").strip(), text.strip() + "\n"


def render_json(template: Path, facts: dict[str, Any]) -> bytes:
    """Return the body of a webhook's request.

    Raises
    ------
    ConfigError
        The template cannot be used, or makes no JSON.
    """
    text = _render(template, "", facts)
    try:
        json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"{template} makes no JSON: write values as {{{{ x|tojson }}}}"
        ) from error
    return text.encode()


def _render(template: Path | None, default: str, facts: dict[str, Any]) -> str:
    try:
        source = _shipped(default) if template is None else template.read_text(encoding="utf-8")
        return _environment().from_string(source).render(facts)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"template {template} cannot be read") from error
    except TemplateError as error:
        # a message of the library may quote a value
        number = getattr(error, "lineno", None)
        line = "" if number is None else f", line {number}"
        name = template or default
        raise ConfigError(
            f"template {name} cannot be used{line} ({type(error).__name__})"
        ) from error


@lru_cache(maxsize=1)
def _environment() -> SandboxedEnvironment:
    # plain text and JSON: there is nothing to escape for HTML
    return SandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )


def _shipped(name: str) -> str:
    return (resources.files("node.notify") / "templates" / name).read_text(encoding="utf-8")
