"""Who asks: HTTP Basic with AccountSID and AuthToken, what the token opens, and how often its account may ask."""

from typing import Annotated, Final

from fastapi import Depends, Path, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from clawback.web.document import query_names
from clawback.web.office import Office
from clawback.web.refusal import Refusal, Refused, invalid
from connectors.allowance import Left
from connectors.tokens import Scope

BASIC: Final = HTTPBasic(auto_error=False, description="User AccountSID, password AuthToken.")
CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="Clawback"'}


def office_of(request: Request) -> Office:
    """The office of this process."""
    office: Office = request.app.state.office
    return office


def limit_headers(left: Left) -> dict[str, str]:
    """The documented headers."""
    return {
        "X-RateLimit-Limit": str(left.limit),
        "X-RateLimit-Remaining": str(left.requests),
        "X-RateLimit-Reset": str(left.reset_s),
    }


class _Door:
    """Lets an account's requests in; a dependency that gives the account's SID."""

    def __init__(self, needed: Scope) -> None:
        self._needed = needed

    async def __call__(
        self,
        request: Request,
        AccountSID: Annotated[str, Path(description="Your AccountSID.", examples=["IRacme1"])],  # noqa: N803 - the API's
        given: Annotated[HTTPBasicCredentials | None, Depends(BASIC)],
    ) -> str:
        office = office_of(request)
        scope = None if given is None else office.tokens.scope(given.username, given.password)
        if given is None or scope is None:
            raise Refusal(Refused.UNAUTHORIZED, headers=CHALLENGE)
        self._count(request, office, given.username)
        if AccountSID != given.username:
            # Nothing is looked up: another account's resources and those of nobody are the same to this one.
            raise Refusal(Refused.NOT_FOUND)
        if self._needed is Scope.WRITE and scope is Scope.READ:
            raise Refusal(Refused.FORBIDDEN)
        if request.query_params:
            _check_query(request)
        return given.username

    def _count(self, request: Request, office: Office, sid: str) -> None:
        if office.allowance is None:
            return
        left = office.allowance.spend(sid, office.clock())
        request.state.limits = limit_headers(left)
        if not left.allowed:
            raise Refusal(Refused.RATE_LIMITED, headers={"Retry-After": str(left.reset_s)})


def _check_query(request: Request) -> None:
    """Raise Refusal for what would be passed over in silence: a misspelt filter would show too much."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in set(names) - query_names(request.app, request.scope["route"].operation_id):
        raise invalid(name, "This resource has no such parameter.")
    for name in names:
        if names.count(name) > 1:
            raise invalid(name, "The parameter is given twice.")


may_write: Final = _Door(Scope.WRITE)
Reader = Annotated[str, Depends(_Door(Scope.READ))]
Writer = Annotated[str, Depends(may_write)]
