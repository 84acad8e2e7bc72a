"""The web server's processes: where they listen, with TLS, and several on one port."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from clawback.serving import prefect_part
from clawback.serving.web_part import _bound
from clawback.settings import Settings, WebServer, as_environment, load
from clawback.wiring import credentials_folder
from connectors.tokens import Scope, Tokens
from processing.errors import Unusable
from tests.clawback.serve_site import now, until
from tests.worlds import SID


def test_tokens_do_not_travel_in_the_open() -> None:
    """Without TLS it listens to its own machine, or behind proxies that are named; a taken port is said."""
    with pytest.raises(Unusable, match="tokens would travel in the open"):
        _bound(WebServer(host="0.0.0.0"), 0)  # noqa: S104 - that is what is refused
    for web in (WebServer(), WebServer(host="localhost"), WebServer(host="0.0.0.0", proxies="10.0.0.1")):  # noqa: S104 - allowed
        _bound(web, 0).close()
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(Unusable, match=r"Give another web\.port, or 0"),
    ):
        _bound(WebServer(), other.getsockname()[1])


@pytest.mark.parametrize("part", ["web", "prefect"])
def test_an_answer_waits_for_no_acknowledgement(tmp_path: Path, part: str) -> None:
    """What is written goes out at once: an answer's body would wait until its head is acknowledged, 40 ms later."""
    bound = {"web": lambda: _bound(WebServer(), 0), "prefect": lambda: prefect_part._bound(Settings(state=tmp_path), 0)}  # noqa: SLF001 - what others listen on

    async def no_delay(listener: socket.socket) -> int:
        told = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            told.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(connected, sock=listener):
            _, client = await asyncio.open_connection(*listener.getsockname())
            client.close()
            return int(await told)

    assert asyncio.run(no_delay(bound[part]())) == 1


def test_settings_survive_the_way_to_another_process(tmp_path: Path) -> None:
    """All of them."""
    web = WebServer("off", "::1", 1, "on", "c", "k", "10.0.0.1", 2, 3, 4, 5, 6, 7)
    settings = Settings(state=tmp_path, web=web)
    assert load(as_environment(settings)) == settings


def test_two_processes_serve_one_port_by_tls(tmp_path: Path) -> None:
    """With a certificate of their own; the count of requests is one, and both end with the first."""
    settings = Settings(state=tmp_path, web=WebServer(port=0, tls="on", workers=2, requests_per_hour=40))
    _, secret = Tokens(credentials_folder(settings)).make(SID, Scope.WRITE, now())
    command = [sys.executable, "-m", "clawback.serving.web_part", "0"]
    environ = os.environ | as_environment(settings)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as part:
        assert part.stdout is not None
        port = json.loads(part.stdout.readline())["port"]
        trust = ssl.create_default_context(cafile=str(tmp_path / "tls" / "certificate.pem"))
        url = f"https://localhost:{port}/Advertisers/{SID}/Actions.json"
        body = {"ActionId": "A-1", "Amount": "1", "Reason": "ORDER_UPDATE"}
        left = []
        for _ in range(10):
            with httpx.Client(verify=trust, auth=(SID, secret), trust_env=False, timeout=60) as client:
                answer = client.put(url, data=body)
                assert answer.json()["Status"] == "QUEUED"
                left.append(int(answer.headers["x-ratelimit-remaining"]))
        assert left == list(reversed(range(30, 40)))
        part.terminate()
        assert part.wait(30) == 0
    until(lambda: _is_refused(port), "the second process has ended")


def _is_refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
