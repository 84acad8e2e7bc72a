"""Loads catalogues and actions."""

import csv
import hashlib
import io
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pandas as pd
from sqlalchemy import Connection

from clawback.ahead import ahead
from clawback.unnamed import unnamed
from clawback.wiring import Desk
from processing import actions, bulk, catalog, exchange, tables
from processing.actions import Load, Problem
from processing.catalog import Terms
from processing.errors import NotFound, Unusable
from processing.explain import shown
from processing.instants import DAY, micros
from processing.model import Account
from processing.store import claim_account
from schemas import actions_file, rates_file
from schemas import catalog as catalogue_file


def load_catalog(desk: Desk, file: Path) -> tuple[Account, ...]:
    """Add or update the accounts of a catalogue; raises Unusable with everything that is wrong with it."""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Unusable(f"{file} is not UTF-8 text: byte {error.start}. Save it as UTF-8.") from None
    catalogue = catalogue_file.parse(text, file.name)
    with desk.store.write() as db:
        catalog.save(db, catalogue)
    return catalogue


def load_actions(desk: Desk, file: Path) -> Load:
    """Add the actions of a file in one transaction; lines with problems are told and left out.

    Raises Unreadable and Unusable when the file as a whole cannot be used; then nothing was added.
    """
    so_far = Load()
    with desk.store.write() as db:
        owners = catalog.program_owners(db)
        terms: dict[str, Terms] = {}
        for chunk in ahead(actions_file.read(file)):
            so_far.problems += chunk.problems
            so_far.read += len(chunk.problems)
            owner = chunk.texts["program_id"].astype("int64").map(owners)
            _tell_unowned(chunk.texts[owner.isna()], so_far)
            for sid, texts in chunk.texts.groupby(owner, sort=True):
                if sid not in terms:
                    terms[str(sid)] = _claimed(db, str(sid))
                mine = None if chunk.items is None else chunk.items[chunk.items.index.isin(texts.index)]
                lines = actions_file.converted(texts, terms[str(sid)].zone)
                actions.load(db, terms[str(sid)], lines, so_far, items=mine)
            desk.progress(file.name, so_far.read)
        bulk.know_sizes(db, tables.action, so_far.added)
        so_far.problems.sort(key=lambda one: one.line)
    return so_far


def load_rates(desk: Desk, file: Path) -> Load:
    """Add the exchange rates of a file, or replace those there are; lines with problems are told and left out.

    Raises Unreadable and Unusable when the file as a whole cannot be used; then nothing was added.
    """
    so_far = Load()
    with desk.store.write() as db:
        for rates, problems in rates_file.read(file):
            exchange.save(db, rates)
            so_far.read += len(rates) + len(problems)
            so_far.added += len(rates)
            so_far.problems += problems
    so_far.problems.sort(key=lambda one: one.line)
    return so_far


class NoSuchProgram(NotFound):
    """A program that the account does not have."""


def load_conversion(desk: Desk, sid: str, columns: Mapping[str, str], at: datetime) -> tuple[str, list[Problem]]:
    """Add one action of an account, submitted at ``at``; gives its id, and the problems that kept it out.

    ``columns`` are those of an actions file. Without an ActionId it is the action that the ledger has for its order and
    event type, else one whose id is made of them: the same conversion twice is one action. Raises NoSuchProgram.
    """
    so_far = Load()
    with desk.store.write() as db, unnamed() as (out, file):
        terms = _claimed(db, sid)
        line = {"ActionId": _action_id(columns), "Currency": terms.currency, **columns}
        text = io.StringIO()
        csv.writer(text).writerows([line.keys(), line.values()])
        out.write(text.getvalue().encode())
        out.flush()
        for chunk in actions_file.read(file):
            so_far.problems += chunk.problems
            if chunk.texts.empty:
                continue
            if catalog.program_owners(db).get(int(chunk.texts["program_id"].iloc[0])) != sid:
                raise NoSuchProgram(f"Account {sid} has no program {columns['CampaignId']}.")
            lines = actions_file.converted(chunk.texts, terms.zone)
            known = actions.of_order(db, terms, lines)
            if known and line["ActionId"] not in known and "ActionId" not in columns:
                line["ActionId"] = known[0]
            if because := _not_credited(line, lines, known, micros(at)):
                so_far.problems.append(Problem(int(lines.index[0]), because))
                continue
            lines = lines.assign(action_id=line["ActionId"])
            actions.load(db, terms, actions.date_late_one(db, terms, lines, micros(at)), so_far)
    return line["ActionId"], so_far.problems


def _not_credited(line: Mapping[str, str], lines: pd.DataFrame, known: list[str], at: int) -> str | None:
    """Why a conversion is not credited whose order the ledger knows as these actions, None if it may be."""
    if lines["event_at"].iloc[0] > at + DAY:
        return f"EventDate {line['EventDate']} has not come yet; send the conversion when it has."
    if known and line["ActionId"] not in known:
        return f"OrderId {shown(line['Oid'])} is already there as action {known[0]}; an order is credited once."
    return None


def _action_id(columns: Mapping[str, str]) -> str:
    order = hashlib.sha256(columns["Oid"].encode()).hexdigest()[:16]
    return f"{columns['CampaignId']}.{columns['ActionTrackerId']}.{order}"


def _claimed(db: Connection, sid: str) -> Terms:
    claim_account(db, sid)
    return catalog.read_terms(db, sid)


def _tell_unowned(texts: pd.DataFrame, so_far: Load) -> None:
    so_far.read += len(texts)
    for number, program in zip(texts.index.tolist(), texts["program_id"], strict=True):
        so_far.problems.append(Problem(number, f"CampaignId {program} is not in the catalogue; load it first."))
