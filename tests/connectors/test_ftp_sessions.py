"""Logging in, and what a session may see and do."""

import ftplib
import io
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.credentials import Credentials
from processing.errors import Unusable
from tests.connectors.ftp_site import (
    ACCOUNTS,
    PASSWORD,
    Serve,
    Site,
    answer,
    begin,
    eventually,
    logged_in,
    only,
    outcome,
    reply,
    send,
)


@contextmanager
def connected(site: Site) -> Iterator[ftplib.FTP]:
    """A client that has not logged in."""
    with ftplib.FTP() as client:  # noqa: S321 - it is what brands use
        client.connect("localhost", site.server.port, timeout=10)
        yield client


def login(site: Site, account: str, password: str) -> str:
    """The answer to a login."""
    client = ftplib.FTP()  # noqa: S321 - it is what brands use
    try:
        client.connect("localhost", site.server.port, timeout=10)
        client.sendcmd(f"USER {account}")
        return reply(client, f"PASS {password}")
    except ftplib.Error as refusal:
        return str(refusal)
    finally:
        client.close()


# --- logging in


@pytest.mark.parametrize(
    ("account", "password"),
    [
        (ACCOUNTS[0], "wrong"),
        (ACCOUNTS[0], PASSWORD + " "),
        ("IRnobody9", PASSWORD),
        ("anonymous", "a@b"),
        ("../" + ACCOUNTS[0], PASSWORD),
        ("x" * 500, PASSWORD),
        (ACCOUNTS[0], "x" * 1500),
    ],
)
def test_wrong_logins_get_one_answer(site: Site, account: str, password: str) -> None:
    """A wrong password, an unknown account and nonsense are told apart by nobody, and make no folder."""
    assert login(site, account, password) == "530 The user name or the password is wrong."
    assert not site.home().exists()


def test_unknown_account_takes_as_long(serve: Serve, costly: Credentials) -> None:
    """The time of the answer does not tell whether an account exists."""
    site = serve(credentials=costly, login_attempts=100, login_delay_s=0)

    def seconds(account: str) -> float:
        start = time.monotonic()
        login(site, account, "wrong")
        return time.monotonic() - start

    # In turns, so that whatever else the machine does meets both.
    rounds = [(seconds(ACCOUNTS[0]), seconds("IRnobody9")) for _ in range(6)]
    known, unknown = (min(times) for times in zip(*rounds, strict=True))
    assert 0.5 < known / unknown < 2


def test_lock_out(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """After so many failures the address is refused with 421, at once and with a right password, and it is logged."""
    site = serve(login_attempts=3)
    with logged_in(site) as already:
        answers = [login(site, ACCOUNTS[0], "wrong")[:3] for _ in range(3)]
        assert answers == ["530", "530", "421"]
        with pytest.raises(ftplib.error_temp, match="421 Too many failed logins"):
            logged_in(site).__enter__()
        assert already.nlst() == ["results"]
    failures = [r.getMessage() for r in caplog.records if r.getMessage().startswith("login_failed")]
    assert [m.split("failures_of_address=")[1] for m in failures] == [f"{n} failures_of_account={n}" for n in (1, 2, 3)]
    assert "address_refused address=" in caplog.text


def test_refusal_ends(serve: Serve) -> None:
    """When the time is over the address may log in again."""
    site = serve(login_attempts=1, login_refusal_s=0.3)
    assert login(site, ACCOUNTS[0], "wrong")[:3] == "421"
    assert login(site, ACCOUNTS[0], PASSWORD)[:3] == "421"
    time.sleep(0.35)
    assert login(site, ACCOUNTS[0], PASSWORD)[:3] == "230"


def test_hanging_up_is_counted(serve: Serve) -> None:
    """Who hangs up without waiting for the answer has failed all the same."""
    site = serve(login_attempts=2)
    for _ in range(2):
        with socket.create_connection(("localhost", site.server.port)) as client:
            client.recv(100)
            client.sendall(f"USER {ACCOUNTS[0]}\r\nPASS wrong\r\n".encode())
            client.recv(100)
    assert eventually(lambda: login(site, ACCOUNTS[1], PASSWORD)[:3] == "421")


def test_failed_logins_are_slowed_and_nobody_else(serve: Serve) -> None:
    """Failed logins are answered late, while others log in and send without waiting for them."""
    site = serve(login_delay_s=1.0, login_attempts=100)
    with connected(site) as failing:
        failing.sendcmd(f"USER {ACCOUNTS[0]}")
        start = time.monotonic()
        failing.putcmd("PASS wrong")
        with logged_in(site, ACCOUNTS[1]) as other:
            assert send(other, "a.csv", b"x").startswith("226")
        assert time.monotonic() - start < 0.9
        assert outcome(failing).startswith("530")
        assert time.monotonic() - start > 1


def test_passwords_are_checked_beside_the_loop(serve: Serve, costly: Credentials) -> None:
    """While many passwords are checked, a session that is logged in is answered at once."""
    site = serve(credentials=costly)
    with logged_in(site) as client:
        threads = [threading.Thread(target=login, args=(site, ACCOUNTS[1], PASSWORD)) for _ in range(12)]
        for thread in threads:
            thread.start()
        slowest = 0.0
        while any(thread.is_alive() for thread in threads):
            start = time.monotonic()
            client.voidcmd("NOOP")
            slowest = max(slowest, time.monotonic() - start)
        assert slowest < 0.3


def test_commands_sent_ahead_of_a_login(site: Site) -> None:
    """What is sent behind PASS without waiting is answered in order, and after the login."""
    with socket.create_connection(("localhost", site.server.port), timeout=10) as client:
        lines = client.makefile("rb")
        client.sendall(f"USER {ACCOUNTS[0]}\r\nPASS {PASSWORD}\r\nPWD\r\nTYPE I\r\nNO".encode())
        assert [lines.readline()[:3] for _ in range(5)] == [b"220", b"331", b"230", b"257", b"200"]
        client.sendall(b"OP\r\n")
        assert lines.readline().startswith(b"200")
        lines.close()


def test_secrets_are_in_no_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Neither passwords, right, wrong or typed as a user name, nor pyftpdlib's own chatter reach the log."""
    caplog.set_level(logging.DEBUG)
    site = serve()
    login(site, ACCOUNTS[0], "hunter2-wrong")
    login(site, "hunter2-as-user", "x")
    with logged_in(site) as client:
        send(client, "a.csv", b"x")
    assert "hunter2" not in caplog.text
    assert PASSWORD not in caplog.text
    assert "logged_in account=IRacme1" in caplog.text


def test_connection_limits(serve: Serve) -> None:
    """Over the limits a connection is answered 421 and closed; those that are there go on."""
    site = serve(max_connections=2)
    with connected(site) as one, connected(site) as two:
        with pytest.raises(ftplib.error_temp, match="421 Too many connections"), connected(site):
            pass
        assert one.voidcmd("NOOP")[:3] == two.voidcmd("NOOP")[:3] == "200"
    per_ip = serve(site.folder / "other", max_connections_per_ip=1)
    with connected(per_ip), pytest.raises(ftplib.error_temp, match="421 Too many connections"), connected(per_ip):
        pass


def test_flood_of_commands(site: Site) -> None:
    """An endless line and very many commands sent ahead do not grow the server."""
    with socket.create_connection(("localhost", site.server.port), timeout=10) as client:
        client.sendall(b"x" * 100_000 + b"\r\n")
        assert client.recv(1000).startswith(b"220")
    with logged_in(site) as other:
        assert other.nlst() == ["results"]


def test_port_in_use_is_named(site: Site, serve: Serve, tmp_path: Path) -> None:
    """A port that is taken is told in a sentence."""
    with pytest.raises(Unusable, match=f"Cannot listen on localhost:{site.server.port}"):
        serve(tmp_path / "other", port=site.server.port)


def test_passive_ports_and_masquerade(serve: Serve) -> None:
    """Data connections are offered at the address and within the ports that the operator opened."""
    site = serve(passive_ports=range(45_000, 45_050), masquerade_address="192.0.2.7", host="127.0.0.1")
    with logged_in(site) as client:
        numbers = client.sendcmd("PASV").split("(")[1].split(")")[0].split(",")
        assert numbers[:4] == ["192", "0", "2", "7"]
        assert int(numbers[4]) * 256 + int(numbers[5]) in range(45_000, 45_050)


# --- paths and names


@pytest.mark.parametrize(
    "command",
    [
        "STOR ../../evil.csv/x",
        "STOR /etc/passwd",
        "STOR results/evil.csv",
        "STOR results",
        "STOR sub/evil.csv",
        "STOR ..\\..\\evil.csv",
        "STOR C:\\evil.csv",
        "STOR evil\x00.csv",
        "STOR evil\x1b[31m.csv",
        "STOR evil\u202ecsv.exe",
        "STOR evil\u2028.csv",
        "STOR " + "x" * 256,
        "STOR " + "é" * 128,
        "STOR receipt_a.csv.json",
        "STOR result_a.csv",
        "STOR FIX_a.csv",
        "STOR ..",
        "STOR /",
        "RETR ../../../../etc/passwd",
        "RETR /etc/passwd",
        "RETR results/../../../../etc/passwd",
        "RETR results/.owners",
        "RETR results",
        "RETR link",
        "RETR results/link",
        "RETR secret.part",
        "DELE results",
        "DELE link.part",
        "DELE results/link",
        "DELE ../IRbrix2/results/result_b.csv",
        "CWD ..\\..",
        "CWD /etc",
        "CWD ../../etc",
        "CWD link",
        "CWD linked.part",
        "LIST /etc",
        "LIST link",
        "NLST ../..//etc",
        "MLSD linked.part",
        "MLST link",
        "SIZE link",
        "MDTM ../../etc/passwd",
        "STAT /etc",
        "RNFR link.part",
        "RNFR ../../etc/passwd",
        "MKD sub",
        "XMKD sub",
        "RMD results",
        "SITE CHMOD 777 results",
        "SITE HELP",
        "MFMT 20270115120000 a.part",
        "APPE a.csv",
        "STOU",
        "STOU a.csv",
    ],
)
def test_tricks_are_refused(site: Site, tmp_path: Path, command: str) -> None:
    """No path, link or odd name leads out of the account's folder, and what is not allowed is refused."""
    secret = tmp_path / "secret"
    secret.write_text("another's")
    other = site.home(ACCOUNTS[1]) / "results"
    other.mkdir(parents=True)
    (other / "result_b.csv").write_text("another's")
    with logged_in(site) as client:
        for place in (site.home(), site.home() / "results"):
            (place / "link").symlink_to(secret)
            (place / "link.part").symlink_to(secret)
        (site.home() / "linked.part").symlink_to("/etc")
        client.voidcmd("TYPE I")
        client.makepasv()
        before = sorted(tmp_path.rglob("*"))
        answer = reply(client, command)
        assert answer[0] == "5", answer
        assert len(answer) > 10
        assert client.pwd() == "/"
        assert client.nlst() == ["results"]
        assert client.nlst("results") == []
    assert sorted(tmp_path.rglob("*")) == before
    assert secret.read_text() == "another's"
    assert (site.spool.pending(), site.leftovers()) == ([], [])


@pytest.mark.parametrize("path", ["../returns.csv", "../../../returns.csv", "/returns.csv", "/results/../returns.csv"])
def test_paths_to_the_main_folder_are_fine(site: Site, path: str) -> None:
    """Above the main folder there is only the main folder; a client may name a file by any path to it."""
    with logged_in(site) as client:
        client.cwd("results")
        assert send(client, path, b"x").startswith("226 Delivery")
    assert only(site).name == "returns.csv"


@pytest.mark.parametrize(
    "name",
    [
        "Rückgaben März.csv",
        "返品.csv",
        "🧾 returns.csv",
        "  leading and trailing ",
        "e\u0301.csv",
        "-rf *.csv",
        "a;b|c`d`$(e)'\".csv",
        "%2e%2e%2fetc.csv",
        "~root",
        "x" * 251 + ".csv",
        "..csv..",
    ],
)
def test_odd_names_are_data(site: Site, name: str) -> None:
    """Any other name is taken as it is, also through a temporary name."""
    with logged_in(site) as client:
        if is_kept(name):
            assert send(client, name, b"x").startswith("226")
            client.rename(name, "final.csv")
            assert only(site).name == "final.csv"
            return
        assert send(client, name, b"x").startswith("226 Delivery")
    assert only(site).name == name


def is_kept(name: str) -> bool:
    """Whether the name is a temporary one."""
    return name.startswith(".")


def test_name_of_an_old_client(site: Site) -> None:
    """A name in Windows-1252 is understood."""
    with logged_in(site) as client:
        client.encoding = "cp1252"
        send(client, "Rückgabe €.csv", b"x")
    assert only(site).name == "Rückgabe €.csv"


def test_continuing_is_refused(site: Site) -> None:
    """REST with STOR tells to send the whole file again; a download can be continued."""
    with logged_in(site) as client:
        client.voidcmd("TYPE I")
        client.sendcmd("REST 5")
        assert reply(client, "STOR a.csv") == "554 A file cannot be continued. Send the whole file again, without REST."
        assert reply(client, "APPE a.csv") == "550 A file cannot be continued. Send the whole file again with STOR."
        assert send(client, "a.csv", b"x").startswith("226")
        answer(site, "a.csv", b"0123456789")
        fetched = io.BytesIO()
        client.retrbinary("RETR results/result_a.csv", fetched.write, rest=5)
        assert fetched.getvalue() == b"56789"


def test_answers_are_listed_fetched_and_deleted(site: Site) -> None:
    """A brand finds its answers in results/, by every way of listing, fetches them and may delete them."""
    with logged_in(site) as client, logged_in(site, ACCOUNTS[1]) as other:
        answer(site, "ä.csv", b"x\r\n")
        client.encoding = "utf-8"
        assert client.nlst("results") == ["result_ä.csv"]
        client.cwd("results")
        assert client.pwd() == "/results"
        facts = {name: (facts["type"], facts["size"]) for name, facts in client.mlsd()}
        assert facts == {"result_ä.csv": ("file", "3")}
        lines: list[str] = []
        client.dir(lines.append)
        assert [line.split()[-1] for line in lines] == ["result_ä.csv"]
        client.voidcmd("TYPE I")
        assert client.size("result_ä.csv") == 3
        fetched = io.BytesIO()
        client.retrbinary("RETR result_ä.csv", fetched.write)
        assert fetched.getvalue() == b"x\r\n"
        assert other.nlst("results") == []
        client.delete("result_ä.csv")
        assert client.nlst() == []
        client.sendcmd("CDUP")
        assert [name for name, _ in client.mlsd()] == ["results"]


def test_folder_that_is_a_link_is_not_entered(site: Site, tmp_path: Path) -> None:
    """An account whose folder was replaced by a link cannot log in, and the operator is told."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ftp").mkdir(exist_ok=True)
    site.home().symlink_to(tmp_path / "elsewhere")
    assert login(site, ACCOUNTS[0], PASSWORD).startswith("421 Your folder is not available")


def test_session_can_change_its_user(site: Site) -> None:
    """After USER or REIN the session is nobody's until the next login, and then sees the other's folder only."""
    with logged_in(site) as client:
        send(client, "a.part", b"x")
        client.sendcmd("REIN")
        assert reply(client, "NLST").startswith("530")
        client.login(ACCOUNTS[1], PASSWORD)
        assert client.nlst() == ["results"]


def test_idle_session_is_closed(serve: Serve) -> None:
    """A session without commands ends with 421 after the idle time."""
    site = serve(idle_timeout_s=0.3)
    with logged_in(site) as client:
        assert outcome(client).startswith("421")
        client.close()


def test_the_server_stops_while_a_session_ends(site: Site) -> None:
    """A client that is found to be gone when the last work is finished does not keep the others from being closed."""
    with logged_in(site) as client, logged_in(site) as other, begin(client, "returns.csv") as data:
        data.sendall(b"half a file")
        desk = site.server._desk  # noqa: SLF001 - that moment is not to be had from outside
        assert client.sock is not None
        assert other.sock is not None
        assert desk is not None
        (ended,) = [one for one in desk.sessions if one.remote_port == client.sock.getsockname()[1]]
        desk.workers.store(lambda: time.sleep(0.2), lambda _: ended.close())
        site.server.close()
        assert other.sock.recv(1) == b""
    assert site.leftovers() == []
