"""The cursor against an org whose records are stamped when they are changed and seen when they are committed."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clawback.salesforce import polling
from clawback.salesforce.polling import advanced
from processing import observed
from processing.errors import SourceExhausted, SourceRefused, SourceUnreachable
from processing.observed import Cursor
from tests.clawback.salesforce.site import Crm, settings_for
from tests.clawback.salesforce.test_pausing import calls_of
from tests.salesforce_org.server import Fault, refusal
from tests.worlds import LOCK, Sale, load

MINUTE = timedelta(minutes=1)


def cursor_of(crm: Crm) -> Cursor:
    """How far the records were read."""
    with crm.desk.store.read() as db:
        found = observed.cursor(db, "crm", "sales")
    assert found is not None
    return found


def test_s01_a_commit_nine_minutes_late_is_seen(crm: Crm, tmp_path: Path) -> None:
    """A newer record was read nine minutes before it, again and again; its own stamp lies behind that."""
    crm.sell(tmp_path, "O-1", "O-2")
    late, other = crm.opportunity("O-1"), crm.opportunity("O-2")
    crm.round()
    crm.world.change(late, 10 * MINUTE, StageName="Closed Lost")
    crm.pass_by(minutes=1)
    crm.world.change(other, StageName="Closed Lost")
    for _ in range(3):
        crm.round()
        assert (crm.values("O-1")[0], crm.values("O-2")[0]) == ("PENDING", "REVERSED")
        crm.pass_by(minutes=3)
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


@pytest.mark.parametrize("covered", [True, False])
def test_s02_a_commit_fifty_minutes_late(crm: Crm, tmp_path: Path, covered: bool) -> None:  # noqa: FBT001 - a switch
    """What the org says is covered holds the floor back; without it the sweep before the lock finds the record."""
    crm.settings = settings_for(crm.org, use_latest_date_covered=covered, sweep_before="60d", sweep_every="3h")
    crm.sell(tmp_path, "O-1")
    late = crm.opportunity("O-1")
    crm.round()
    crm.world.change(late, 50 * MINUTE, StageName="Closed Lost")
    for _ in range(12):
        crm.pass_by(minutes=5)
        crm.round()
    assert crm.values("O-1")[0] == ("REVERSED" if covered else "PENDING")
    crm.pass_by(hours=3)
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"


def test_s03_equal_stamps_over_the_border_of_a_page(crm: Crm, tmp_path: Path) -> None:
    """A bulk job gives 2,500 records one stamp; the org's page ends at 2,000, and none is lost or taken twice."""
    orders = [f"O-{n}" for n in range(2_500)]
    crm.sell(tmp_path, *orders, amount="1.00")
    records = [crm.opportunity(order, Amount=1.0) for order in orders]
    crm.round()
    crm.pass_by(minutes=5)
    for one in records[::2]:
        crm.world.change(one, StageName="Partly Returned", Amount=0.5)
    crm.world.touch_all(records[1::2])
    done = crm.round()
    assert (done.records["changed"], done.records["unchanged"]) == (1_250, 1_250)
    assert crm.entries() == [("modify", "PENDING", "PENDING")] * 1_250
    pages = [one for one in crm.org.calls if "/query/01g" in one]
    assert len(pages) == 2


@pytest.mark.parametrize("snapshot", [True, False])
def test_s04_a_record_that_moves_while_pages_are_read(
    crm: Crm,
    tmp_path: Path,
    snapshot: bool,  # noqa: FBT001 - a switch
) -> None:
    """Before its page or behind it, and whether a query is a view of one instant or not: in the end it is as it is."""
    crm.org.page, crm.org.snapshot = 2, snapshot
    crm.sell(tmp_path, *(f"O-{n}" for n in range(6)))
    records = [crm.opportunity(f"O-{n}") for n in range(6)]
    crm.org.between_pages.append(lambda: crm.world.change(records[0], StageName="Closed Lost"))
    crm.org.between_pages.append(lambda: crm.world.change(records[5], StageName="Closed Won"))
    first = crm.round()
    seen = {one: crm.values(one)[0] for one in ("O-0", "O-5")}
    assert seen == {"O-0": "PENDING", "O-5": "PENDING" if snapshot else "APPROVED"}
    crm.pass_by(minutes=5)
    second = crm.round()
    assert (first.records["read"], second.records["read"]) == (6, 6)
    assert (crm.values("O-0")[0], crm.values("O-5")[0]) == ("REVERSED", "APPROVED")
    assert sorted(crm.entries()) == [("approve", "PENDING", "APPROVED"), ("reverse", "PENDING", "REVERSED")]


@pytest.mark.parametrize(("skew_s", "told"), [(60, None), (61, 61), (-90, -90)])
def test_s06_clocks_that_differ_are_told(
    crm: Crm, caplog: pytest.LogCaptureFixture, skew_s: int, told: int | None
) -> None:
    """By more than a minute, either way: in the log, and in what the round did."""
    crm.round()
    crm.pass_by(minutes=5)
    crm.org.skew = timedelta(seconds=skew_s)
    with caplog.at_level(logging.WARNING):
        assert crm.round().skew_s == told
    said = [one for one in caplog.messages if one.startswith("clocks_differ source=crm")]
    assert said == (
        [] if told is None else [f"clocks_differ source=crm skew_s={told}; have this machine's clock set by NTP"]
    )


@pytest.mark.parametrize("skew_minutes", [-15, 15])
def test_s06_our_clock_counts_for_nothing(crm: Crm, tmp_path: Path, skew_minutes: int) -> None:
    """Far off, either way: the floor follows the org's clock, and nothing is lost when ours is set again."""
    crm.settings = settings_for(crm.org, schedule="5m")
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.round()
    crm.clock.pass_by(minutes=skew_minutes)
    crm.world.pass_by(minutes=5)
    crm.world.change(record, 8 * MINUTE, StageName="Closed Lost")
    crm.round()
    assert cursor_of(crm).floor == crm.world.now - timedelta(minutes=15)
    crm.world.pass_by(minutes=10)
    crm.clock.pass_by(minutes=10)
    with pytest.raises(SourceRefused, match="the clocks differ by"):
        crm.round()
    crm.clock.now = crm.world.now
    crm.round()
    assert crm.values("O-1")[0] == "REVERSED"
    assert cursor_of(crm).floor == crm.world.now - timedelta(minutes=15)


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's time zone, as the process has it from now on; as it was, afterwards."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


FALL, SPRING = datetime(2027, 11, 7, 5, 45, tzinfo=UTC), datetime(2027, 3, 14, 6, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "offset_h", "night"),
    [("America/New_York", -4, FALL), ("America/New_York", -5, SPRING), ("Asia/Kolkata", 5.5, FALL)],
    indirect=["zone"],
)
@pytest.mark.usefixtures("zone")
def test_s06_a_floor_has_no_time_zone_but_utc(crm: Crm, offset_h: float, night: datetime) -> None:
    """A machine in a zone of its own asks the same, also in a night in which an hour comes twice, or never."""
    here = datetime.fromtimestamp(night.timestamp())  # noqa: DTZ006 - that the zone holds here
    assert here - night.replace(tzinfo=None) == timedelta(hours=offset_h)
    crm.clock.now = crm.world.now = night
    crm.opportunity("O-1")
    crm.round()
    crm.pass_by(minutes=30)
    crm.opportunity("O-2")
    assert crm.round().records["read"] == 2
    assert cursor_of(crm).floor == night + timedelta(minutes=15)
    assert crm.round().records["read"] == 1


def test_s07_a_day_without_records(crm: Crm) -> None:
    """Empty polls move the floor by the org's clock, and a record that comes then is seen."""
    for _ in range(48):
        crm.pass_by(minutes=30)
        assert crm.round().records["read"] == 0
        assert cursor_of(crm).floor == crm.world.now - timedelta(minutes=15)
    crm.opportunity("O-1")
    assert crm.round().records["read"] == 1


def test_s08_coverage_that_stands_still_for_three_days(crm: Crm, tmp_path: Path) -> None:
    """The floor is held back for a day at most; then it goes on, and says that replication has stalled."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.round()
    began = crm.world.stalled_at = crm.world.now
    crm.pass_by(hours=23)
    assert crm.round().stalled == []
    assert cursor_of(crm).floor <= began
    crm.pass_by(hours=49)
    crm.world.change(record, StageName="Closed Lost")
    assert crm.round().stalled == ["sales"]
    assert cursor_of(crm).floor == crm.world.now - timedelta(days=1)
    assert crm.values("O-1")[0] == "REVERSED"


def test_s09_the_limit_of_calls_on_the_second_page(crm: Crm, tmp_path: Path) -> None:
    """What the first page told is applied, the floor stays, and the org is left alone for a quarter of an hour."""
    crm.org.page = 2
    crm.sell(tmp_path, *(f"O-{n}" for n in range(4)))
    for n in range(4):
        crm.opportunity(f"O-{n}", "Closed Lost")
    crm.round()
    crm.pass_by(minutes=5)
    before = cursor_of(crm)
    records = [crm.opportunity(f"N-{n}") for n in range(4)]
    crm.org.fault(refusal(403, "REQUEST_LIMIT_EXCEEDED"), r"/query/01g")
    with pytest.raises(SourceExhausted):
        crm.round()
    assert cursor_of(crm) == before
    calls = len(crm.org.calls)
    crm.pass_by(minutes=5)
    assert crm.round().paused_until is not None
    assert len(crm.org.calls) == calls
    crm.pass_by(minutes=11)
    crm.world.change(records[3], StageName="Closed Lost")
    assert crm.round().records["changed"] == 1


def test_s09_the_last_calls_of_the_day_are_for_what_locks_soon(crm: Crm, tmp_path: Path) -> None:
    """Also when the preflight is due: nothing is polled, and the look-up before the lock is made nevertheless."""
    crm.sell(tmp_path, "O-1")
    record = crm.opportunity("O-1")
    crm.round()
    crm.clock.now = crm.world.now = LOCK - timedelta(hours=3)
    crm.world.change(record, StageName="Closed Lost")
    crm.org.used = 95_000
    before = len(crm.org.calls)
    done = crm.round()
    assert (done.low, done.swept["sales"]["orders"], crm.values("O-1")[0]) == (True, 1, "REVERSED")
    assert sum("queryAll" in one for one in crm.org.calls[before:]) == 1


def test_s09_the_reserve_is_kept_without_a_preflight(crm: Crm) -> None:
    """A round that has nothing to check learns how many calls are left before it polls."""
    crm.opportunity("O-1")
    crm.round()
    crm.pass_by(minutes=5)
    crm.org.used = 95_000
    before = len(crm.org.calls)
    assert crm.round().low
    assert [one.rsplit("/", 1)[-1] for one in crm.org.calls[before:]] == ["token", ""]


def test_s09_a_lost_place_in_a_query_starts_the_window_anew(crm: Crm) -> None:
    """The locator has expired: nothing is counted as read, and the next round reads all of it."""
    crm.org.page = 2
    for n in range(4):
        crm.opportunity(f"O-{n}")
    crm.org.between_pages.append(crm.org.expire_locators)
    with pytest.raises(SourceUnreachable, match="INVALID_QUERY_LOCATOR"):
        crm.round()
    crm.pass_by(minutes=5)
    assert crm.round().records == {
        "read": 4, "changed": 0, "unchanged": 2, "idle": 2, "held": 0, "stale": 0, "holds": {}
    }  # fmt: skip


@pytest.mark.parametrize("fits", [True, False])
def test_s08_too_many_changes_to_be_counted(
    crm: Crm, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, fits: bool
) -> None:
    """The window is halved until the org can tell what is covered, at its end; that is said, as where it never can."""
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1")
    crm.round()
    crm.pass_by(minutes=30)
    began = crm.world.now
    asked = len(crm.org.calls)
    crm.org.fault(refusal(400, "EXCEEDED_ID_LIMIT"), "/updated/", 3 if fits else 100)
    with caplog.at_level(logging.WARNING), crm.world.long_transaction():
        crm.pass_by(minutes=30)
        done = crm.round()
    windows = sum("/updated/" in one for one in crm.org.calls[asked:])
    assert done.uncovered == ["sales"]
    assert cursor_of(crm).floor == (began if fits else crm.world.now - timedelta(minutes=15))
    assert windows == 4 if fits else 4 < windows < 12
    assert ("not_covered source=crm mapping=sales" in caplog.text) is not fits


def test_s08_a_window_that_the_org_does_not_take(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    """It is not halved: what the org says is that it cannot tell, and the lookback alone protects."""
    crm.round()
    crm.pass_by(minutes=30)
    crm.org.fault(refusal(400, "INVALID_REPLICATION_DATE"), "/updated/")
    before = len(crm.org.calls)
    with caplog.at_level(logging.WARNING):
        assert crm.round().uncovered == ["sales"]
    assert sum("/updated/" in one for one in crm.org.calls[before:]) == 1
    assert cursor_of(crm).floor == crm.world.now - timedelta(minutes=15)
    assert "not_covered source=crm mapping=sales" in caplog.text


def test_s08_an_org_that_does_not_answer_what_is_covered(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    """What it told last holds the floor back until it tells more; the records are read nevertheless."""
    crm.round()
    crm.pass_by(minutes=10)
    with crm.world.long_transaction():
        began = crm.world.now
        crm.pass_by(minutes=10)
        crm.round()
        crm.org.fault(Fault(status=503, body=b"[]"), "/updated/", times=10)
        crm.opportunity("O-1")
        crm.pass_by(minutes=30)
        with caplog.at_level(logging.WARNING):
            assert crm.round().records["read"] == 1
    assert ("not_asked source=crm mapping=sales" in caplog.text, cursor_of(crm).floor) == (True, began)


def test_s07_a_quiet_round_is_three_calls(crm: Crm) -> None:
    """The clock, what is covered, and the query; what is covered is not asked more often than the org wants."""
    crm.round()
    before = len(crm.org.calls)
    for seconds in (299, 1):
        crm.pass_by(seconds=seconds)
        crm.round()
    assert calls_of(crm, before) == ["", "queryAll", "", "updated", "queryAll"]


def test_s07_a_user_who_may_not_read_the_limits(crm: Crm, tmp_path: Path) -> None:
    """No answer of theirs is needed: the guide's permission set does not hold what they need."""
    crm.org.sees_setup = False
    crm.sell(tmp_path, "O-1")
    crm.opportunity("O-1", "Closed Lost")
    assert not crm.round().low
    assert crm.values("O-1")[0] == "REVERSED"


def test_s07_the_first_floor_is_behind_the_oldest_open_action(crm: Crm, tmp_path: Path) -> None:
    """Nothing older can matter; what was changed since its action happened is read."""
    load(crm.desk, tmp_path, [Sale("A-O-1", "O-1", event_at="2027-01-10T12:00:00Z")])
    for minutes, order in ((16, "O-0"), (15, "O-1")):
        crm.world.now = datetime(2027, 1, 10, 12, tzinfo=UTC) - minutes * MINUTE
        crm.opportunity(order, "Closed Lost")
    crm.world.now = crm.clock.now
    assert (crm.round().records["read"], crm.values("O-1")[0]) == (1, "REVERSED")


def test_s11_the_floor_only_rises_and_stays_behind(crm: Crm) -> None:
    """Whatever is covered, a floor never falls, and never comes nearer to the org's clock than the lookback."""
    now, lookback = crm.world.now, timedelta(minutes=15)
    start = Cursor(now - timedelta(hours=3))
    for covered in (None, *(now - timedelta(minutes=minutes) for minutes in (0, 1, 15, 16, 200, 1441, 5000))):
        moved = advanced(replace(start, covered=covered), now, crm.settings)
        assert start.floor <= moved.floor <= now - lookback
        assert advanced(moved, now - timedelta(hours=1), crm.settings).floor == moved.floor
        assert moved.stalled is (covered is not None and covered < now - timedelta(days=1))


def test_a_floor_is_read_again_to_the_second(crm: Crm) -> None:
    """Records stamped exactly at the floor belong to what is read."""
    crm.round()
    crm.pass_by(minutes=20)
    crm.round()
    floor = cursor_of(crm).floor
    crm.world.now = floor
    crm.opportunity("O-1")
    crm.world.now = crm.clock.now
    assert crm.round().records["read"] == 1
    assert polling.advanced(Cursor(floor), floor, crm.settings).floor == floor
