"""The REST API keeps to its own description (OpenAPI), whatever it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation, BaseSchema
from starlette.types import Receive, Scope, Send

from node.state import State
from tests.web.fronts import make_desktop

AnyOperation = APIOperation[Any, Any, Any, Any]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> BaseSchema:
    folder: Path = tmp_path_factory.mktemp("described")
    desktop = make_desktop(folder)
    desktop.front.desk.__dict__["echo"] = lambda *_: None
    for name, state in (("one", State.DONE), ("two", State.REJECTED), ("three", State.QUEUED)):
        desktop.add(name, state)

    async def called_localhost(scope: Scope, receive: Receive, send: Send) -> None:
        others = [item for item in scope["headers"] if item[0] != b"host"]
        scope["headers"] = [*others, (b"host", b"localhost")]
        await desktop.front.app(scope, receive, send)

    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", called_localhost)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_described(described: BaseSchema, mode: GenerationMode) -> None:
    for found in described.get_all_operations():
        operation: AnyOperation = found.ok()  # type: ignore[union-attr]  # else it raises, which fails
        # nothing can be wrong where nothing is asked for
        if mode is GenerationMode.POSITIVE or list(operation.iter_parameters()):
            check(operation, mode)


def check(operation: AnyOperation, mode: GenerationMode) -> None:
    """Send what fits the description, or what does not, and compare the answers with it."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    def send(case: Case[Any]) -> None:
        case.call_and_validate()

    send()


def test_the_description_names_every_route(described: BaseSchema) -> None:
    paths = set(described.raw_schema["paths"])
    assert {
        "/api/v1/series",
        "/api/v1/series/{key}",
        "/api/v1/series/{key}/{number}/slices/{index}",
        "/api/v1/series/{key}/levels",
        "/api/v1/peers/{name}/echo",
        "/api/v1/uploads/{upload}",
        "/api/v1/system",
    } <= paths
