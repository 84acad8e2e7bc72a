"""``clawback mail``: what came by e-mail, what was set aside, and what is to be sent."""

import click

from clawback.cli.running import Outcome, by, desk, now, table, told

_STATES = ("accepted", "duplicate", "ignored", "quarantined", "rejected", "undecided")


@click.group()
def mail() -> None:
    """E-mail: list messages, release or reject those that were not believed, see what is to be sent."""


@mail.command("list")
@click.option("--account", "sid", metavar="SID", help="Only this brand's.")
@click.option("--state", type=click.Choice(_STATES), help="Only messages in this state.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@told
def list_messages(sid: str | None, state: str | None, limit: int) -> Outcome:
    """The newest messages first.

    \b
    Example:
      clawback mail list --state quarantined
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.messages import listing

    with desk() as opened, opened.store.read() as db:
        document = listing(db, sid, state, limit=limit)
    columns = {"message": "message", "account": "account", "from": "from", "state": "state", "": "reason"}
    return Outcome(document, table(document, columns, "There is no message."))


@mail.command()
@click.argument("message")
@told
def show(message: str) -> Outcome:
    """One message: what was decided and why, its files, and the deliveries that it brought.

    \b
    Example:
      clawback mail show 20270115T093000000000-1a2b3c4d
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import mailroom
    from processing import deliveries, messages

    with desk() as opened:
        with opened.store.read() as db:
            document = messages.told(messages.find(db, message))
            brought = [deliveries.head(deliveries.find(db, one)) for one in deliveries.of_message(db, message)]
        envelope = opened.spool.find(message)
        letter = mailroom.read(opened, envelope)
        content = opened.spool.content(message)
    document["session"] = envelope.trace
    document["content"] = str(content)
    document["files"] = [{"name": one.name, "bytes": len(one.content)} for one in letter.attachments]
    document["deliveries"] = [{"delivery": one["delivery"], "state": one["state"]} for one in brought]
    rows = {key: value for key, value in document.items() if not isinstance(value, (list, dict))}
    width = max(map(len, rows))
    parts = ["\n".join(f"{key.replace('_', ' '):<{width}}  {'-' if one is None else one}" for key, one in rows.items())]
    parts.append(table(document["files"], {"file": "name", "bytes": "bytes"}, "It has no file that can be applied."))
    if brought:
        parts.append(table(brought, {"delivery": "delivery", "name": "name", "state": "state"}, ""))
    return Outcome(document, "\n\n".join(parts))


@mail.command()
@click.argument("message")
@by("releases")
@told
def release(message: str, by: str) -> Outcome:
    """Apply a quarantined message after all; its own arrival still counts against the locks.

    \b
    Example:
      clawback mail release 20270115T093000000000-1a2b3c4d --by dana
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback import deciding

    with desk() as opened:
        document = deciding.release_message(opened, message, by=by, at=now())
    lines = ", ".join(f"{lines:,} {verdict}" for verdict, lines in document["rows"].items() if lines)
    return Outcome(document, f"Message {message} is {document['state']}: {lines or 'no lines'}.")


@mail.command()
@click.argument("message")
@by("rejects")
@told
def reject(message: str, by: str) -> Outcome:
    """Give up a quarantined message: nothing of it is ever applied.

    \b
    Example:
      clawback mail reject 20270115T093000000000-1a2b3c4d --by dana
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from processing.messages import MessageState, decide

    with desk() as opened, opened.store.write() as db:
        decide(db, message, MessageState.REJECTED, by=by, at=now())
    return Outcome({"message": message, "state": "rejected"}, f"Message {message} is rejected.")


@mail.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--again", type=int, metavar="ID", help="Try this one now, though it waits or was given up.")
@told
def outbox(limit: int, again: int | None) -> Outcome:
    """What is to be sent: replies and notices that wait, were given up, and were sent.

    \b
    Example:
      clawback mail outbox
      clawback mail outbox --again 17
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from clawback.mailroom import KINDS
    from processing import outbox as box

    with desk() as opened, opened.store.write() as db:
        if again is not None:
            box.again(db, again, at=now())
        document = box.listing(db, KINDS, limit=limit)
    columns = {"id": "id", "kind": "kind", "to": "recipient", "about": "delivery", "state": "state"}
    columns |= {"attempts": "attempts", "due": "due_at", "": "last_error"}
    return Outcome(document, table(document, columns, "Nothing was ever to be sent."))
