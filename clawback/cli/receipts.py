"""Receipts as people read them on a terminal."""

from typing import Any

from clawback.cli.running import DONE, NOT_ALL_APPLIED, is_json, table

SHOWN_LINES = 20


def most_lines() -> int | None:
    """How many lines of a receipt this command needs: all for programs, what is shown for people."""
    return None if is_json() else SHOWN_LINES


def receipt_code(receipt: dict[str, Any]) -> int:
    """The exit code for a delivery: 3 when lines were rejected, refused or held."""
    rows = receipt["rows"]
    whole = receipt["state"] in {"rejected", "held", "broken"} or holds_lines(receipt)
    return NOT_ALL_APPLIED if whole or rows["rejected"] or rows["refused"] or rows["held"] else DONE


def holds_lines(receipt: dict[str, Any]) -> bool:
    """Whether a person has to decide about lines that waited, though the delivery is done."""
    return "held_money" in receipt


def state_text(receipt: dict[str, Any]) -> str:
    """How far a delivery has come, and whether lines of it are held."""
    return "done, lines held" if holds_lines(receipt) else str(receipt["state"])


def receipts_code(receipt: dict[str, Any]) -> int:
    """The exit code for a delivery and the files in it."""
    return max(map(receipt_code, [receipt, *receipt.get("files", [])]))


def receipts_text(receipt: dict[str, Any]) -> str:
    """A receipt, and those of the files in it."""
    return "\n\n".join(map(receipt_text, [receipt, *receipt.get("files", [])]))


def receipt_text(receipt: dict[str, Any]) -> str:
    """A receipt in a few paragraphs."""
    parts = [_head(receipt), _equation(receipt["rows"])]
    if receipt["partners"]:
        columns = {
            "partner": "name",
            "lines": "lines",
            "": "currency",
            "amount before": "amount_before",
            "after": "amount_after",
            "payout before": "payout_before",
            " after": "payout_after",
        }
        parts.append(table([*receipt["partners"], *_totals(receipt)], columns, ""))
    if receipt["nearest_lock"]:
        parts.append(f"Nearest lock {receipt['nearest_lock']}, {receipt['time_left']} after arrival. {receipt['rule']}")
    lines = receipt.get("lines", [])
    if lines:
        parts.append(table(lines[:SHOWN_LINES], {"line": "line", "verdict": "verdict", "": "message"}, ""))
    more = receipt.get("more_lines", max(len(lines) - SHOWN_LINES, 0))
    if more:
        parts.append(f"… and {more:,} more lines: clawback deliveries receipt {receipt['delivery']}")
    return "\n\n".join(parts)


def _head(receipt: dict[str, Any]) -> str:
    text = f"{receipt['name']} ({receipt['delivery']}): {state_text(receipt)}"
    if receipt["duplicate_of"]:
        text += f", the same bytes as {receipt['duplicate_of']}"
    if receipt["message"]:
        text += "\n" + " ".join(filter(None, (receipt["code"], receipt["message"])))
    if receipt["undoes"]:
        text += f"\nIt undid {receipt['undoes']}."
    if receipt["undone_by"]:
        text += f"\nIt was undone by {receipt['undone_by']}."
    if receipt["waits_until"]:
        text += f"\nLines wait for their actions until {receipt['waits_until']}."
    for one in receipt["revisions"]:
        text += f"\n{_revision(one)}"
    return text


def _revision(one: dict[str, Any]) -> str:
    became = ", ".join(f"{count:,} {verdict}" for verdict, count in one["rows"].items())
    return f"{one['at']}: {one['because']}" + (f"; {one['lines']:,} judged again: {became}." if became else ".")


def _equation(rows: dict[str, int]) -> str:
    verdicts = " + ".join(f"{count:,} {verdict}" for verdict, count in rows.items() if verdict != "read")
    return f"{rows['read']:,} read = {verdicts}"


def _totals(receipt: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "total", "lines": "", "currency": one, **sides} for one, sides in receipt["money"].items()]
