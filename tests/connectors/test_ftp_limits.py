from pathlib import Path
from typing import Any

import pytest

from connectors.ftp_limits import Door, origin
from connectors.ftp_settings import FtpSettings
from processing.errors import Unusable

PATHS: dict[str, Any] = {"certificate": Path("certificate.pem"), "key": Path("key.pem")}
SETTINGS = FtpSettings(**PATHS, login_attempts=3, login_window_s=60, login_refusal_s=100, login_delay_s=1)


class Timer:
    """A timer that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def timer() -> Timer:
    """At zero."""
    return Timer()


@pytest.fixture
def door(timer: Timer) -> Door:
    """Nobody has failed yet."""
    return Door(SETTINGS, timer)


def test_address_is_refused_after_so_many_failures_and_for_so_long(door: Door, timer: Timer) -> None:
    """The third failure within the window refuses the address, until the time is over; then it starts anew."""
    for number in range(3):
        assert not door.refuses("10.0.0.1"), number
        door.failed("10.0.0.1", None)
    timer.now = 99.9
    assert door.refuses("10.0.0.1")
    assert not door.refuses("10.0.0.2")
    timer.now = 100
    assert not door.refuses("10.0.0.1")
    door.failed("10.0.0.1", None)
    assert not door.refuses("10.0.0.1")


def test_old_failures_do_not_count(door: Door, timer: Timer) -> None:
    """A failure is forgotten when the window has passed."""
    for moment in (0, 1, 61, 62, 122):
        timer.now = moment
        door.failed("10.0.0.1", None)
    assert not door.refuses("10.0.0.1")


def test_success_forgets_mistyping_but_no_guessing(door: Door) -> None:
    """Who logs in had mistyped that account's password; what the address tried with others stays counted."""
    for _ in range(2):
        door.failed("10.0.0.1", "acme")
    door.succeeded("10.0.0.1", "acme")
    door.succeeded("10.0.0.2", "acme")
    for number in range(3):
        assert not door.refuses("10.0.0.1"), number
        door.failed("10.0.0.1", "brix" if number else None)
        door.succeeded("10.0.0.1", "acme")
    assert door.refuses("10.0.0.1")


def test_failures_are_answered_slower_each_time(door: Door) -> None:
    """The wait doubles with each failure of the address or of the account, up to a limit."""
    waits = [door.failed(f"10.0.0.{n}", "acme") for n in range(8)]
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    assert door.failed("10.0.1.1", "brix") == 1


def test_account_is_not_locked_out_by_others(door: Door) -> None:
    """However often others fail with an account, no address but theirs is refused."""
    for n in range(100):
        door.failed(f"10.0.0.{n}", "acme")
    assert not any(door.refuses(f"10.0.0.{n}") for n in range(101))


def test_memory_is_bounded(door: Door) -> None:
    """A flood of addresses makes the door forget the oldest instead of growing."""
    for _ in range(3):
        door.failed("10.9.9.9", None)
    for n in range(11_000):
        door.failed(f"10.{n // 250}.{n % 250}.1", None)
    assert len(door._failures) == 10_000  # noqa: SLF001 - there is nothing to see from outside


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("nothing", "nothing"),
    ],
)
def test_one_attacker_is_counted_once(address: str, counted_as: str) -> None:
    """An IPv6 site can choose among very many addresses; it is counted by its network."""
    assert origin(address) == counted_as


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("tls", "maybe"),
        ("port", -1),
        ("port", 65536),
        ("passive_ports", range(0)),
        ("passive_ports", range(10)),
        ("passive_ports", range(65000, 65537)),
        ("masquerade_address", "ftp.example.com"),
        ("max_connections", 0),
        ("max_connections_per_ip", 0),
        ("max_upload_bytes", 0),
        ("quota_bytes", -1),
        ("idle_timeout_s", 0),
        ("login_attempts", 0),
        ("login_delay_s", -1),
    ],
)
def test_unusable_setting_is_named(setting: str, value: object) -> None:
    """A setting that cannot be used is refused with its name and its value."""
    values: dict[str, Any] = {setting: value}
    with pytest.raises(Unusable, match=setting) as refusal:
        FtpSettings(**PATHS, **values)
    assert str(value) in str(refusal.value)
