"""The documented paging keys over pages by keyset: each page's URIs say where the next one begins."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Request

from clawback.web.refusal import Refusal, invalid
from clawback.web.representation import Fields, Listing, path_as_asked
from processing.pages import Keys, Page, Place, sliced

LEAST: Final = 2_000
DEFAULT: Final = 20_000
MOST_PAGES: Final = 10**9
_NUMBER: Final = r"(-?[0-9]{1,18})"
CURSOR: Final = rf"^(a|b|z)\.{_NUMBER}\.{_NUMBER}\.([0-9]{{1,12}})$"
_CURSOR: Final = re.compile(CURSOR)

PageNumber = Annotated[int, Query(ge=1, le=MOST_PAGES, description="The page, from 1.")]
PageSize = Annotated[
    int,
    Query(
        ge=1,
        le=10**9,
        description=f"Resources on a page; fewer than {LEAST:,} or more than {DEFAULT:,} mean those numbers.",
    ),
]
Cursor = Annotated[
    str | None,
    Query(
        pattern=CURSOR, description="Where the page begins, as @nextpageuri and the others give it; not for writing."
    ),
]


@dataclass(frozen=True, slots=True)
class Asked:
    """The page that a request asks for, and how to name others of the same list."""

    place: Place
    path: str
    given: Mapping[str, str]

    def listing(  # noqa: PLR0913 - what a list is made of
        self,
        name: str,
        item: str,
        page: Page,
        keys: Callable[[Any], Keys],
        shape: Callable[[Any], Fields],
        *,
        given: Mapping[str, str] | None = None,
        json_name: str | None = None,
    ) -> Listing:
        """A page with the URIs of its neighbours; ``given`` are parameters to be kept besides those of the request."""
        rows = [shape(row) for row in page.rows]
        ends = (keys(page.rows[0]), keys(page.rows[-1])) if page.rows else None
        about = self._about(page.total, len(rows), ends, {**self.given, **(given or {})})
        return Listing(name, item, about, rows, json_name)

    def whole(self, name: str, item: str, rows: Sequence[Fields]) -> Listing:
        """A page of a list that was read whole."""
        return self.listing(name, item, sliced(rows, self.place), lambda one: (0, one[0]), lambda one: one[1])

    def _about(self, total: int, rows: int, ends: tuple[Keys, Keys] | None, given: Mapping[str, str]) -> dict[str, str]:
        place = self.place
        pages = max(1, -(-total // place.size))
        start = (place.number - 1) * place.size

        def uri(number: int, cursor: str = "") -> str:
            parts = {**given, "PageSize": str(place.size), "Page": str(number)} | ({"Cursor": cursor} if cursor else {})
            return f"{quote(self.path)}?{urlencode(parts)}"

        before = after = ""
        if ends is not None and place.number > 1:
            before = uri(place.number - 1, _cursor("b", ends[0], total))
        if ends is not None and place.number < pages:
            after = uri(place.number + 1, _cursor("a", ends[1], total))
        return {
            "page": str(place.number),
            "numpages": str(pages),
            "pagesize": str(place.size),
            "total": str(total),
            "start": str(start if rows else 0),
            "end": str(start + rows - 1 if rows else 0),
            "uri": f"{quote(self.path)}?{urlencode(self.given)}" if self.given else quote(self.path),
            "firstpageuri": uri(1),
            "previouspageuri": before,
            "nextpageuri": after,
            "lastpageuri": uri(pages, _cursor("z", (0, 0), total)),
        }


def _asked(request: Request, Page: PageNumber = 1, PageSize: PageSize = DEFAULT, Cursor: Cursor = None) -> Asked:  # noqa: N803 - the API's
    size = min(max(PageSize, LEAST), DEFAULT)
    given = {name: value for name, value in request.query_params.items() if name not in {"Page", "PageSize", "Cursor"}}
    kind, keys, total = _read(Cursor)
    place = Place(
        Page,
        size,
        after=keys if kind == "a" else None,
        before=keys if kind == "b" else None,
        total=total,
        last=kind == "z",
    )
    return Asked(place, path_as_asked(request), given)


Paged = Annotated[Asked, Depends(_asked)]


def _cursor(kind: str, keys: Keys, total: int) -> str:
    return f"{kind}.{keys[0]}.{keys[1]}.{total}"


def _read(cursor: str | None) -> tuple[str, Keys | None, int | None]:
    if cursor is None:
        return "", None, None
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise _bad(cursor)
    return found[1], (int(found[2]), int(found[3])), int(found[4])


def _bad(cursor: str) -> Refusal:
    return invalid("Cursor", f"{cursor[:80]!r} is no cursor; take the page's URI as it was given.")
