"""The application: its routes, its refusals, and its OpenAPI document."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRouter
from starlette.exceptions import HTTPException

from clawback.web import actions, changes, company, conversions, deliveries, hooks, submissions
from clawback.web.access import CHALLENGE
from clawback.web.bodies import faults
from clawback.web.document import document, methods
from clawback.web.office import Office
from clawback.web.refusal import FULL, Refusal, Refused, fields_of
from clawback.web.representation import Single, Suffixes, respond
from clawback.web.short_way import ShortWay
from processing.errors import ClawbackError, KeyReused, NotFound, StoreUnavailable, UploadRefused

_log = logging.getLogger(__name__)

_DESCRIPTION: Final = """\
The returns desk of a partner programme. A PUT, a DELETE or a file is answered once it is stored durably; what became
of it is read where its answer says. Every path may end with `.json`. Amounts are in the currency that stands beside
them, dates are ISO 8601 in the account's time zone, and a field of which nothing is known is empty.
"""
_OURS: Final = {
    NotFound: Refused.NOT_FOUND,
    KeyReused: Refused.IDEMPOTENCY_KEY_REUSED,
    UploadRefused: Refused.STORAGE_FAILED,
    StoreUnavailable: Refused.STORE_UNAVAILABLE,
}
_AWAY: Final = 503
_LATER: Final = {"Retry-After": "30"}
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
_STATUSES: Final = {401: Refused.UNAUTHORIZED, 404: Refused.NOT_FOUND, 405: Refused.METHOD_NOT_ALLOWED}


def create_app(office: Office) -> FastAPI:
    """The application of an office."""
    app = FastAPI(
        title="Clawback Web Services",
        version=version("clawback"),
        description=_DESCRIPTION,
        openapi_url="/openapi",
        docs_url=None,
        redoc_url=None,
        # A redirect would name the host that the request names, to those without a token as well.
        redirect_slashes=False,
        lifespan=_closing(office),
    )
    app.state.office = office
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    account = APIRouter(prefix="/Advertisers/{AccountSID}")
    for part in (actions, changes, conversions, submissions, deliveries, company):
        account.include_router(part.router)
    app.router.routes.append(ShortWay(f"{account.prefix}/Actions", {"PUT": changes.update, "DELETE": changes.reverse}))
    app.include_router(account)
    app.include_router(hooks.router)
    app.add_exception_handler(Refusal, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(ClawbackError, _refuse_ours)
    app.add_middleware(_Finish)
    app.add_middleware(Suffixes)
    return app


def _closing(office: Office) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        office.desk.store.close()

    return lifespan


class _Finish:
    """Gives every answer the headers that all have; a bug is logged here, and told without a word of it."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an ASGI application
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        started = False

        async def finishing(message: Any) -> None:  # noqa: ANN401 - ASGI's own
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                more = {**_HEADERS, **state.get("limits", {})}
                message["headers"] = [*message["headers"], *((k.lower().encode(), v.encode()) for k, v in more.items())]
            await send(message)

        if state.get(FULL):
            refusal = Refusal(Refused.TOO_MANY_CONNECTIONS, headers={**_LATER, "Connection": "close"})
            await _envelope(Request(scope), refusal)(scope, receive, finishing)
            return
        try:
            await self._app(scope, receive, finishing)
        except Exception:
            _log.exception("crashed method=%s", scope["method"])
            if started:
                raise
            await _envelope(Request(scope), Refusal(Refused.INTERNAL))(scope, receive, finishing)


def _envelope(request: Request, refusal: Refusal) -> Response:
    fields = fields_of(refusal.code, refusal.message, refusal.faults)
    return respond(request, Single(fields), refusal.code.status, refusal.headers)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for it
    return _envelope(request, error)


async def _refuse_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return _envelope(request, Refusal(Refused.VALIDATION_FAILED, *faults(error.errors())))


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    code = _STATUSES.get(error.status_code, Refused.VALIDATION_FAILED)
    headers = {Refused.UNAUTHORIZED: CHALLENGE}.get(code, {})
    if code is Refused.METHOD_NOT_ALLOWED:
        headers = {"Allow": methods(request.app, request.url.path)}
    return _envelope(request, Refusal(code, headers=headers))


async def _refuse_ours(request: Request, error: Exception) -> Response:
    code = next((code for kind, code in _OURS.items() if isinstance(error, kind)), Refused.INTERNAL)
    if code.status >= Refused.INTERNAL.status:
        _log.error("refused method=%s code=%s because=%r", request.method, code.name, str(error))
    return _envelope(request, Refusal(code, headers=_LATER if code.status == _AWAY else {}))
