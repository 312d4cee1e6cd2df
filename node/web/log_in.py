"""Logging in and out, where people have accounts here."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from node.audit_message import Happened, Outcome
from node.web.accounts import Accounts
from node.web.desk import Desk
from node.web.pages import Pages, read_form
from node.web.security import COOKIE, is_secure


def log_in_router(desk: Desk, pages: Pages, accounts: Accounts | None) -> APIRouter:
    """Return the routes ``/login`` and ``/logout``; none where people have no accounts."""
    router = APIRouter(include_in_schema=False)
    if accounts is None:
        return router

    @router.get("/login")
    def form(request: Request, next: str = "/") -> Response:
        return pages.show(request, "login", goal=own_path(next), why="")

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        fields = await read_form(request)
        name, goal = fields.get("name", ""), own_path(fields.get("next", "/"))
        address = request.client.host if request.client else ""
        if accounts.is_blocked(address):
            why = "Too many wrong passwords: wait five minutes."
            return pages.show(request, "login", 429, goal=goal, why=why)
        right = await run_in_threadpool(accounts.check, name, fields.get("password", ""), address)
        desk.account(
            Happened(
                what="logged_in",
                source=address,
                by=name[:64],
                outcome=Outcome.SUCCESS if right else Outcome.MINOR_FAILURE,
            )
        )
        if not right:
            return pages.show(request, "login", 401, goal=goal, why="Name or password is wrong.")
        answer = RedirectResponse(goal, status_code=303)
        answer.set_cookie(
            COOKIE,
            accounts.open(name),
            httponly=True,
            samesite="strict",
            secure=is_secure(request, desk.config.web),
        )
        return answer

    @router.post("/logout")
    def log_out(request: Request) -> Response:
        accounts.close(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return router


def own_path(text: str) -> str:
    """Return where to go after logging in: a path of ours, never another site.

    Examples
    --------
    >>> own_path("/peers"), own_path("//elsewhere.example"), own_path("https://x.example")
    ('/peers', '/', '/')
    """
    is_own = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if is_own and text.isprintable() else "/"
