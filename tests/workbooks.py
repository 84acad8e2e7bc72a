"""xlsx files for tests, made part by part, as different programs write them."""

import io
from collections.abc import Sequence
from html import escape
from typing import Final
from xml.etree import ElementTree as ET
from zipfile import ZipFile

from tests.schemas.test_containers import zipped

MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'


def parts(
    rows: str,
    *,
    texts: str | None = None,
    styles: str | None = None,
    sheets: str = '<sheet name="Returns" sheetId="1" r:id="rId1"/>',
    properties: str = "",
    target: str = "worksheets/sheet1.xml",
) -> dict[str, str]:
    """The parts of a workbook whose first sheet has these ``row`` elements; the second is always the same."""
    relations = {"rId1": ("worksheet", target), "rId2": ("worksheet", "worksheets/sheet2.xml")}
    if texts is not None:
        relations["rId3"] = ("sharedStrings", "sharedStrings.xml")
    if styles is not None:
        relations["rId4"] = ("styles", "styles.xml")
    related = "".join(
        f'<Relationship Id="{key}" Type="{_OFFICE}/{kind}" Target="{part}"/>' for key, (kind, part) in relations.items()
    )
    found = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" Type="{_OFFICE}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{_OFFICE}">{properties}'
        f"<sheets>{sheets}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}">{related}</Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>',
        "xl/worksheets/sheet2.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{row(1, "Second")}</sheetData></worksheet>',
    }
    if texts is not None:
        found["xl/sharedStrings.xml"] = f'<sst xmlns="{MAIN}">{texts}</sst>'
    if styles is not None:
        found["xl/styles.xml"] = f'<styleSheet xmlns="{MAIN}">{styles}</styleSheet>'
    return found


def packed(parts: dict[str, str]) -> bytes:
    """The workbook of these parts."""
    return zipped({name: (_DECLARATION + part).encode() for name, part in parts.items()})


def workbook(rows: str, **how: str) -> bytes:
    """A workbook whose first sheet has these ``row`` elements; ``how`` as for ``parts``."""
    return packed(parts(rows, **how))


def row(number: int, *cells: str) -> str:
    """A row of texts, each in its cell; an empty one has none."""
    told = "".join(
        f'<c r="{chr(65 + at)}{number}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'
        for at, text in enumerate(cells)
        if text
    )
    return f'<row r="{number}">{told}</row>'


def table(*rows: Sequence[str]) -> bytes:
    """A workbook with these rows of texts."""
    return workbook("".join(row(number, *cells) for number, cells in enumerate(rows, 1)))


def sheet(content: bytes) -> dict[int, dict[str, tuple[str | None, str]]]:
    """The cells of a workbook that we wrote, by row and column: each one's type and text."""
    with ZipFile(io.BytesIO(content)) as archive:
        root = ET.fromstring(archive.read("xl/worksheets/sheet1.xml"))  # noqa: S314 - our own file
    return {
        int(one.get("r", 0)): {
            cell.get("r", "").rstrip("0123456789"): (cell.get("t"), "".join(cell.itertext()))
            for cell in one.iter(f"{{{MAIN}}}c")
        }
        for one in root.iter(f"{{{MAIN}}}row")
    }
