"""The clients that brands use, as they are."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.connectors.ftp_site import ACCOUNTS, PASSWORD, Serve, Site, answer

CONTENT = b"ActionId,Reason\r\n" + b"1,RETURNED\r\n" * 100_000
Program = Callable[[str], str]
MODES = ["off", "optional", "required"]


def run(*command: str) -> str:
    """Run a client; what it says, with a failure told in full."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to send."""
    path = tmp_path / "returns.csv"
    path.write_bytes(CONTENT)
    return path


def lftp(program: Program, site: Site, script: str) -> str:
    """Run a script of lftp that trusts this server only and tries nothing twice."""
    settings = f"set ssl:ca-file {site.certificate}; set net:max-retries 1; set net:timeout 10; set cmd:fail-exit yes;"
    return run(program("lftp"), "-c", f"{settings} open -u {ACCOUNTS[0]},'{PASSWORD}' {site.url}; {script}")


def curl(program: Program, site: Site, *arguments: str) -> str:
    """Run curl that trusts this server only."""
    trust = ["--cacert", str(site.certificate)] if site.certificate.exists() else []
    return run(program("curl"), "-sS", "--max-time", "20", *trust, "-u", f"{ACCOUNTS[0]}:{PASSWORD}", *arguments)


@pytest.mark.parametrize("tls", MODES)
def test_lftp(serve: Serve, program: Program, file: Path, tmp_path: Path, tls: str) -> None:
    """Lftp sends, lists, sends by way of a temporary name, mirrors the answers and deletes them."""
    site = serve(tls=tls)
    answer(site, "a.csv", CONTENT)
    secure = "set ftp:ssl-force yes; set ftp:ssl-protect-data yes;" if tls == "required" else ""
    listing = lftp(
        program,
        site,
        f"{secure} put {file}; set xfer:use-temp-file yes; put {file} -o second.csv; cls; "
        f"mirror results {tmp_path}/answers; rm results/result_a.csv; cls results",
    )
    assert listing.split() == ["results/"]
    assert site.contents() == {"returns.csv": CONTENT, "second.csv": CONTENT}
    assert (tmp_path / "answers" / "result_a.csv").read_bytes() == CONTENT
    assert site.leftovers() == []


@pytest.mark.parametrize("tls", MODES)
def test_curl(serve: Serve, program: Program, file: Path, tmp_path: Path, tls: str) -> None:
    """Curl sends, passively and actively, sends under a temporary name and renames, lists and fetches the answers."""
    site = serve(tls=tls)
    answer(site, "a.csv", CONTENT)
    secure = [] if tls == "off" else ["--ssl-reqd"]
    curl(program, site, *secure, "-T", str(file), f"{site.url}/")
    # Debian 12's curl 7.88 cannot do TLS over an active data connection.
    active = [] if secure else ["-P", "-"]
    curl(program, site, *secure, *active, "-T", str(file), f"{site.url}/active.csv")
    rename = ["-Q", "-RNFR up.part", "-Q", "-RNTO up.csv"]
    curl(program, site, *secure, "-T", str(file), *rename, f"{site.url}/up.part")
    assert curl(program, site, *secure, "--list-only", f"{site.url}/results/").split() == ["result_a.csv"]
    curl(program, site, *secure, "-o", str(tmp_path / "answer"), f"{site.url}/results/result_a.csv")
    assert (tmp_path / "answer").read_bytes() == CONTENT
    assert site.contents() == dict.fromkeys(("returns.csv", "active.csv", "up.csv"), CONTENT)
    assert site.leftovers() == []


def test_lftp_that_is_killed(serve: Serve, program: Program, tmp_path: Path) -> None:
    """What an lftp sent before it was killed is no delivery."""
    site = serve(tls="required")
    file = tmp_path / "large.csv"
    file.write_bytes(CONTENT * 20)
    settings = f"set ssl:ca-file {site.certificate}; set net:limit-rate 0:2000000;"
    script = f"{settings} open -u {ACCOUNTS[0]},'{PASSWORD}' {site.url}; put {file}"
    with subprocess.Popen([program("lftp"), "-c", script], stderr=subprocess.DEVNULL) as client:
        while not any(p.stat().st_size for p in tmp_path.glob("spool/tmp/*/content")):
            assert client.poll() is None
        client.kill()
    site.server.close()
    assert (site.spool.pending(), site.leftovers()) == ([], [])
