import base64
import hashlib
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from clawback import deciding
from clawback.wiring import Desk
from connectors.tokens import Scope
from tests.clawback.serve_site import until
from tests.clawback.web.site import Site, serving, settings_of
from tests.conftest import Clock
from tests.connectors.smtp_site import mail
from tests.mail_world import raw
from tests.schemas.test_containers import zipped
from tests.worlds import SID, Sale, action, lines

TO = "returns@returns.example"
COMPLETED = {"CompletedDateStart": "2027-01-20", "CompletedDateEnd": "2027-01-21"}
FILE = lines("ActionId,Amount,Reason", "A-1,0,ITEM_RETURNED", "A-2,x,ITEM_RETURNED", "A-9,0,OTHER").encode()


def digest(content: bytes, algorithm: str = "sha256") -> dict[str, str]:
    """The header for a body."""
    name = {"sha256": "sha-256", "sha512": "sha-512"}[algorithm]
    return {"Content-Digest": f"{name}=:{base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}:"}


def test_an_upload_is_in_progress_while_lines_of_it_are_held(site: Site, tmp_path: Path) -> None:
    """They waited for their actions, and a person has to decide; the receipt says why."""
    site.load(tmp_path)
    file = lines("ActionId,Reason", *(f"W-{number},OTHER" for number in range(20)))
    with site.client() as client:
        number = client.post("/Deliveries", content=file, params={"FileName": "returns.csv"}).json()["DeliveryId"]
        site.finish()
        assert client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"][0]["Status"] == "Complete"
        site.load(tmp_path, *(Sale(f"W-{number}") for number in range(20)))
        site.finish()
        [submission] = client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"]
        assert (submission["Status"], submission["CompletionDate"]) == ("In Progress", "")
        assert client.get("/FTPFileSubmissions", params=COMPLETED).json()["@total"] == "0"
        found = client.get(f"/Deliveries/{number}").json()
        assert (found["State"], found["Receipt"]["code"]) == ("done", "OUTLIER")
        deciding.reject(site.desk, number, by="dana", at=site.desk.spool.clock())
        [submission] = client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"]
        assert (submission["Status"], submission["TotalErrors"]) == ("Complete", "20")
        assert client.get("/FTPFileSubmissions", params=COMPLETED).json()["FTPFileSubmissions"] == [submission]


def test_an_upload_is_applied_and_answered(site: Site, tmp_path: Path) -> None:
    """Queued, then done, with its receipt, its result and fix file, and as a submission with its errors."""
    site.load(tmp_path, Sale("A-1"), Sale("A-2"))
    with site.client() as client:
        landed = client.post("/Deliveries", content=FILE, params={"FileName": "returns.csv"}, headers=digest(FILE))
        assert landed.status_code == 202
        told = landed.json()
        uri = f"/Advertisers/{SID}/Deliveries/{told['DeliveryId']}"
        assert told == {
            "Status": "QUEUED",
            "QueuedUri": f"/Advertisers/{SID}/FTPFileSubmissions/F-{told['DeliveryId']}",
            "DeliveryId": told["DeliveryId"],
            "Uri": uri,
        }
        queued = client.get(f"{site.url}{uri}").json()
        assert (queued["State"], queued["Receipt"]) == ("queued", None)
        assert queued["Progress"] == {"Ahead": 0, "Bytes": len(FILE)}
        assert client.get(f"{site.url}{queued['ResultUri']}").json()["Code"] == "NOT_FINISHED"
        submission = client.get(f"{site.url}{told['QueuedUri']}").json()
        assert (submission["Status"], submission["FileName"]) == ("Queued", "returns.csv")
        assert client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"] == [submission]
        site.finish()
        done = client.get(f"{site.url}{uri}").json()
        rows = done["Receipt"]["rows"]
        assert (done["State"], rows["read"], rows["applied"], rows["rejected"], rows["waiting"]) == ("done", 3, 1, 1, 1)
        result = client.get(f"{site.url}{done['ResultUri']}")
        assert result.text.splitlines()[1].startswith("A-1,0,ITEM_RETURNED,applied,")
        assert client.get(f"{site.url}{done['FixUri']}").text.splitlines()[1:] == ["A-2,x,ITEM_RETURNED"]
        submission = client.get(f"{site.url}{told['QueuedUri']}").json()
        assert (submission["Status"], submission["TotalRecords"], submission["TotalErrors"]) == ("Complete", "3", "2")
        errors = client.get(f"{site.url}{submission['ErrorsUri']}").json()["ErrorDetail"]
        assert [(one["Line"], one["Status"], one["Reason"]) for one in errors] == [
            (3, "Validation", "AMOUNT_MALFORMED"),
            (4, "Contract Error", "UNKNOWN_ACTION"),
        ]
        assert client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"] == [submission]
        assert client.get("/APISubmissions").json()["APISubmission"] == []
    assert action(site.desk.store, "A-1")["state"] == "REVERSED"
    # Who sends by HTTP asks for the answers there.
    assert not (site.desk.brands / SID).exists()


def test_a_preview_writes_nothing(site: Site, tmp_path: Path) -> None:
    """The receipt with its lines and money; no delivery, no change, no file left behind."""
    site.load(tmp_path, Sale("A-1"), Sale("A-2"))
    with site.client() as client:
        answer = client.post("/Deliveries", content=FILE, params={"preview": "true", "FileName": "r.csv"})
        assert answer.status_code == 200
        receipt = answer.json()["Receipt"]
        assert receipt["money"]["USD"]["payout_after"] == "0.00"
        assert [(one["line"], one["code"]) for one in receipt["lines"]] == [
            (3, "AMOUNT_MALFORMED"),
            (4, "UNKNOWN_ACTION"),
        ]
        assert client.get("/FTPFileSubmissions").json()["@total"] == "0"
    assert site.desk.spool.pending() == []
    assert action(site.desk.store, "A-1")["state"] == "PENDING"
    assert list((tmp_path / "web").glob("preview-*")) == []


def test_an_answer_lists_so_many_lines(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else there is, of all files of a zip together, it counts; a file may have a million bad lines."""
    monkeypatch.setattr("clawback.web.deliveries.MOST_LINES", 2)
    names = [f"A-{number}" for number in range(3)]
    site.load(tmp_path, *(Sale(name) for name in names))
    bad, good, later = (
        lines("ActionId,Amount,Reason", *(f"{name},{amount},OTHER" for name in names)).encode()
        for amount in ("x", "40", "50")
    )
    with site.client() as client:
        zipped_bad = zipped({"one.csv": bad, "two.csv": bad.replace(b"x", b"y")})
        one, two = (
            client.post("/Deliveries", content=content, params={"preview": "true"}).json()["Receipt"]
            for content in (bad, zipped_bad)
        )
        number = client.post("/Deliveries", content=good).json()["DeliveryId"]
        site.finish()
        client.post("/Deliveries", content=later)
        site.finish()
        undo = f"/Deliveries/{number}/undo"
        told, done = (client.post(undo, params={"preview": only}).json()["Receipt"] for only in ("true", "false"))
    counted = [(len(receipt["lines"]), receipt["more_lines"]) for receipt in (one, *two["files"], told, done)]
    assert counted == [(2, 1), (2, 1), (0, 3), (2, 1), (2, 1)]


def test_a_preview_has_no_file_that_a_kill_would_leave(door: Site) -> None:
    """While its body arrives it lies on the disk without a name."""
    basic = base64.b64encode(":".join((SID, door.office.tokens.make(SID, Scope.WRITE, door.clock())[1])).encode())
    host, port = door.url.removeprefix("http://").split(":")
    names = set(door.office.scratch.iterdir())
    with socket.create_connection((host, int(port))) as sender:
        sender.sendall(
            f"POST /Advertisers/{SID}/Deliveries?preview=true HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Basic {basic.decode()}\r\nContent-Length: 4000000\r\n\r\n".encode()
            + b"A-1,OTHER\n" * 150_000
        )
        until(lambda: any(_scratch(door)), "the preview has begun")
        assert set(door.office.scratch.iterdir()) == names
    until(lambda: not any(_scratch(door)), "the preview is gone")


def _scratch(door: Site) -> list[Path]:
    """The files in the server's folder that are open here, where it runs."""
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(one.readlink())
    return [one for one in found if one.parent == door.office.scratch]


def test_each_file_of_a_zip_can_be_followed(site: Site, tmp_path: Path) -> None:
    """By its own number, as a delivery and as a submission; a preview tells of the files as well."""
    site.load(tmp_path, Sale("A-1"), Sale("A-2"))
    content = zipped({"one.csv": FILE, "two.csv": lines("ActionId,Amount,Reason", "A-2,0,OTHER").encode()})
    with site.client() as client:
        params = {"FileName": "returns.zip"}
        receipt = client.post("/Deliveries", content=content, params=params | {"preview": "true"}).json()["Receipt"]
        assert [(one["name"], one["rows"]["applied"]) for one in receipt["files"]] == [("one.csv", 1), ("two.csv", 1)]
        told = client.post("/Deliveries", content=content, params=params).json()
        site.finish()
        whole = client.get(f"{site.url}{told['Uri']}").json()
        assert whole["State"] == "unpacked"
        numbers = [file["delivery"] for file in whole["Receipt"]["files"]]
        assert numbers == [f"{told['DeliveryId']}-000{position}" for position in (1, 2)]
        assert [client.get(f"/Deliveries/{number}").json()["State"] for number in numbers] == ["done", "done"]
        assert (
            client.get(f"/Deliveries/{numbers[1]}/result.csv").text.splitlines()[1].startswith("A-2,0,OTHER,applied,")
        )
        listed = client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"]
        assert [(one["BatchId"], one["Status"], one["TotalErrors"]) for one in listed] == [
            (f"F-{numbers[1]}", "Complete", "0"),
            (f"F-{numbers[0]}", "Complete", "2"),
            (f"F-{told['DeliveryId']}", "Complete", "2"),
        ]
        assert [one["TotalRecords"] for one in listed] == ["1", "3", "4"]
        assert client.get(f"{site.url}{listed[2]['Uri']}").json() == listed[2]
        errors = [client.get(f"{site.url}{one['ErrorsUri']}").json()["ErrorDetail"] for one in listed]
        assert errors[0] == []
        assert errors[1] == errors[2]
        assert client.get(f"{site.url}{listed[1]['Uri']}").json() == listed[1]
        assert client.get(f"{site.url}{listed[1]['ErrorsUri']}").json()["@total"] == "2"
        refused = client.post(f"{site.url}{told['Uri']}/undo")
        assert (refused.status_code, refused.json()["Code"]) == (409, "NOT_UNDOABLE")
        assert refused.json()["Message"].endswith(f"last one first: {numbers[0]}, {numbers[1]}.")
        for number in reversed(numbers):
            assert client.post(f"/Deliveries/{number}/undo").json()["Status"] == "UNDONE"
        assert [action(site.desk.store, name)["state"] for name in ("A-1", "A-2")] == ["PENDING", "PENDING"]


def test_a_file_that_cannot_be_read_is_an_error(site: Site, tmp_path: Path) -> None:
    """Who knows the fields of the original only does not take it for a file without a fault."""
    site.load(tmp_path, Sale("A-1"))
    wrong = lines("ActionId,Amuont,Reason", "A-1,0,OTHER").encode()
    with site.client() as client:
        for content, name in ((wrong, "returns.csv"), (zipped({"a.csv": wrong, "b.csv": FILE}), "returns.zip")):
            client.post("/Deliveries", content=content, params={"FileName": name})
            site.finish()
            site.clock.pass_by(minutes=1)
        listed = client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"]
        found = {one["FileName"]: (one["Status"], one["TotalRecords"], one["TotalErrors"]) for one in listed}
        assert found == {
            "returns.csv": ("Complete", "0", "1"),
            "returns.zip": ("Complete", "3", "3"),
            "a.csv": ("Complete", "0", "1"),
            "b.csv": ("Complete", "3", "2"),
        }
        alone, zip_file = (
            client.get(f"{site.url}{one['ErrorsUri']}").json()
            for one in sorted(listed, key=lambda one: str(one["SubmissionDate"]))
            if one["FileName"].startswith("returns")
        )
        second = client.get(f"{site.url}{listed[-1]['ErrorsUri']}", params={"Page": 2}).json()
    [error] = alone["ErrorDetail"]
    assert (alone["@total"], second["ErrorDetail"]) == ("1", [])
    assert (error["Line"], error["Status"], error["Reason"]) == (1, "Validation", "COLUMN_UNKNOWN")
    assert "Did you mean Amount?" in error["Message"]
    assert [(one["Line"], one["Reason"]) for one in zip_file["ErrorDetail"]] == [
        (1, "COLUMN_UNKNOWN"),
        (3, "AMOUNT_MALFORMED"),
        (4, "UNKNOWN_ACTION"),
    ]


def test_the_errors_of_a_file_are_as_many_as_are_listed(site: Site, tmp_path: Path) -> None:
    """Held, rejected by a person, or both in a zip; why it is so is one of them, and sound lines are none."""
    site.load(tmp_path, Sale("A-1"), *(Sale(f"B-{number}") for number in range(30)))
    bad = lines("ActionId,Amount,Reason", *["A-1,x,OTHER"] * 60, "A-1,1,OTHER").encode()
    much = lines("ActionId,Amount,Reason", *(f"B-{number},0,OTHER" for number in range(30))).encode()
    half = b"ActionId,Amount,Reason\nA-1,2,OTHER\nA-1,3,OT"
    zip_file = zipped({"bad.csv": bad.replace(b"x", b"y"), "much.csv": much.replace(b"OTHER", b"CONS_ERROR")})
    sent = {"bad.csv": (bad, 61), "much.csv": (much, 1), "returns.zip": (zip_file, 62)}
    envelopes = [
        site.desk.spool.land(content, account=SID, channel="ftp", name=name) for name, (content, _) in sent.items()
    ]
    envelopes.append(site.desk.spool.land(half, account=SID, channel="ftp", name="half.csv"))
    site.finish()

    def counted() -> dict[str, tuple[str, str, str]]:
        found = client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"]
        listed = {one["FileName"]: client.get(f"{site.url}{one['ErrorsUri']}").json()["@total"] for one in found}
        return {one["FileName"]: (one["Status"], one["TotalErrors"], listed[one["FileName"]]) for one in found}

    with site.client() as client:
        numbers = {name: (str(count), str(count)) for name, (_, count) in sent.items()} | {"half.csv": ("1", "1")}
        held = counted()
        assert {name: held[name] for name in numbers} == {
            name: ("In Progress", *both) for name, both in numbers.items()
        }
        [why] = client.get(f"/FTPFileSubmissions/F-{envelopes[-1].delivery}/ErrorDetails").json()["ErrorDetail"]
        assert (why["Line"], why["Status"], why["Reason"]) == (1, "Contract Error", "MAYBE_INCOMPLETE")
        zip_number = envelopes[2].delivery
        for number in (*(envelopes[at].delivery for at in (0, 1, 3)), f"{zip_number}-0001", f"{zip_number}-0002"):
            deciding.reject(site.desk, number, by="dana", at=site.clock())
        rejected = counted()
        assert {name: rejected[name] for name in numbers} == {
            name: ("Complete", *both) for name, both in numbers.items()
        }


def test_a_zip_is_complete_when_its_files_are(site: Site, tmp_path: Path) -> None:
    """One of them is held; the date is that of the last one."""
    site.load(tmp_path, Sale("A-1"), Sale("A-2"))
    bad = lines("ActionId,Amount,Reason", *["A-2,x,OTHER"] * 60).encode()
    content = zipped({"one.csv": FILE, "two.csv": bad})
    with site.client() as client:
        told = client.post("/Deliveries", content=content, params={"FileName": "returns.zip"}).json()
        site.finish()
        before = client.get(f"{site.url}{told['QueuedUri']}").json()
        assert (before["Status"], before["TotalErrors"], before["CompletionDate"]) == ("In Progress", "63", "")
        site.clock.pass_by(hours=1)
        deciding.reject(site.desk, f"{told['DeliveryId']}-0002", by="dana", at=site.clock())
        after = client.get(f"{site.url}{told['QueuedUri']}").json()
        assert (after["Status"], after["CompletionDate"]) == ("Complete", "2027-01-20T08:00:00-05:00")
        # It is found by that date, not by the one on which it was unpacked.
        for hours, names in (("07:00", "07:59"), ["one.csv"]), (("07:59", "08:00"), ["two.csv", "returns.zip"]):
            dates = {f"CompletedDate{end}": f"2027-01-20T{at}" for end, at in zip(("Start", "End"), hours, strict=True)}
            listed = client.get("/FTPFileSubmissions", params=dates).json()
            assert [one["FileName"] for one in listed["FTPFileSubmissions"]] == names
            assert (listed["@total"], listed["FTPFileSubmissions"][1:]) == (str(len(names)), [after][: len(names) - 1])
        found = client.get(f"{site.url}{after['ErrorsUri']}").json()["ErrorDetail"]
        assert [(one["Line"], one["Reason"]) for one in found[1:4]] == [
            (4, "UNKNOWN_ACTION"),
            (1, "MOSTLY_BAD"),
            (2, "AMOUNT_MALFORMED"),
        ]


def test_a_line_that_waited_is_told_when_it_is_applied(site: Site, tmp_path: Path) -> None:
    """Who asks for what is new from then on finds its update and its submission, however old the request is."""
    site.load(tmp_path)
    with site.client() as client:
        queued = client.put("/Actions", data={"ActionId": "A-1", "Amount": "40", "Reason": "ORDER_UPDATE"}).json()
        site.finish()
        assert client.get(f"{site.url}{queued['QueuedUri']}").json()["Status"] == "In Progress"
        assert client.get("/APISubmissions", params=COMPLETED).json()["@total"] == "0"
        site.clock.pass_by(days=2)
        site.load(tmp_path, Sale("A-1"))
        site.finish()
        done = client.get(f"{site.url}{queued['QueuedUri']}").json()
        assert (done["Status"], done["ErrorReason"], done["CompletionDate"]) == (
            "Complete",
            "",
            "2027-01-22T07:00:00-05:00",
        )
        day = {"StartDate": "2027-01-22", "EndDate": "2027-01-23"}
        [update] = client.get("/ActionUpdates", params={"CampaignId": 1000, **day}).json()["ActionUpdates"]
        assert (update["Id"], update["UpdateDate"]) == ("A-1.1", done["CompletionDate"])
        assert client.get("/Actions", params={"CampaignId": 1000, **day}).json()["@total"] == "1"
        days = {
            f"Completed{key}": value for key, value in (("DateStart", day["StartDate"]), ("DateEnd", day["EndDate"]))
        }
        assert client.get("/APISubmissions", params=days).json()["APISubmission"] == [done]


def test_files_that_came_by_mail_can_be_followed(site: Site, tmp_path: Path) -> None:
    """Those of a zip as well, by their numbers; the message itself is no file, before it was opened and after."""
    site.load(tmp_path, Sale("A-1"))
    trace = {"mail_from": "", "peer": "127.0.0.1", "helo": "mail.acme.example", "tls": "", "recipient": TO}
    with site.desk.spool.receive_message(account=SID, name="message.eml", event_type=None, trace=trace) as upload:
        upload.write(raw(mail(TO, zipped({"one.csv": FILE}), "returns.zip")))
        number = upload.land(proven=True).delivery
    with site.client() as client:

        def is_no_file() -> bool:
            paths = (f"/FTPFileSubmissions/F-{number}", f"/Deliveries/{number}", f"/Deliveries/{number}/result.csv")
            return {client.get(path).status_code for path in paths} == {404}

        assert is_no_file()
        assert client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"] == []
        zip_file = site.desk.spool.receive_part(site.desk.spool.find(number), 1, "returns.zip")
        assert zip_file is not None
        with zip_file:
            zip_file.write(zipped({"one.csv": FILE}))
            zip_file.land(proven=True)
        site.desk.spool.acknowledge(number)
        assert is_no_file()
        site.finish()
        listed = client.get("/FTPFileSubmissions").json()["FTPFileSubmissions"]
        assert [one["BatchId"] for one in listed] == [f"F-{number}-0001-0001", f"F-{number}-0001"]
        assert [client.get(f"{site.url}{one['Uri']}").json() for one in listed] == listed
        assert len(client.get(f"{site.url}{listed[0]['ErrorsUri']}").json()["ErrorDetail"]) == 2
        assert client.get(f"/Deliveries/{number}-0001-0001").json()["State"] == "done"
        assert "A-1,0,ITEM_RETURNED,applied" in client.get(f"/Deliveries/{number}-0001-0001/result.csv").text


def test_an_upload_is_undone(site: Site, tmp_path: Path) -> None:
    """Told first, then done, once; what was not judged or changed nothing cannot be undone."""
    site.load(tmp_path, Sale("A-1"), Sale("A-2"))
    with site.client() as client:
        number = client.post("/Deliveries", content=FILE).json()["DeliveryId"]
        early = client.post(f"/Deliveries/{number}/undo")
        site.finish()
        site.clock.pass_by(minutes=1)
        told = client.post(f"/Deliveries/{number}/undo", params={"preview": "true"}).json()
        assert (told["Status"], told["Receipt"]["rows"]["applied"]) == ("PREVIEW", 1)
        assert action(site.desk.store, "A-1")["state"] == "REVERSED"
        done = client.post(f"/Deliveries/{number}/undo").json()
        assert (done["Status"], done["Receipt"]["undoes"], done["Receipt"]["sent_by"]) == ("UNDONE", number, "api")
        assert action(site.desk.store, "A-1")["state"] == "PENDING"
        assert client.get(f"/Deliveries/{number}").json()["Receipt"]["undone_by"] == done["Receipt"]["delivery"]
        assert client.get(f"/Deliveries/{done['Receipt']['delivery']}").json()["State"] == "done"
        assert client.get("/FTPFileSubmissions").json()["@total"] == "1"
        again = client.post(f"/Deliveries/{number}/undo")
        nobody = client.post("/Deliveries/20270120T120000000000-00000000/undo")
    for answer, words in ((early, "not judged yet"), (again, "was undone already")):
        assert (answer.status_code, answer.json()["Code"]) == (409, "NOT_UNDOABLE")
        assert words in answer.json()["Message"]
    assert (nobody.status_code, nobody.json()["Code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_is_checked(door: Site, algorithm: str) -> None:
    """Of the bytes that came; a wrong one leaves nothing, one that is none is said."""
    with door.client() as client:
        right = client.post("/Deliveries", content=FILE, headers=digest(FILE, algorithm))
        assert right.status_code == 202
        assert door.desk.spool.find(right.json()["DeliveryId"]).proven
        door.finish()
        wrong = client.post("/Deliveries", content=FILE, headers=digest(b"other", algorithm))
        assert (wrong.status_code, wrong.json()["Code"]) == (400, "DIGEST_MISMATCH")
        for header in ("", "md5=:AA==:", "sha-256=AA==", "sha-256=:A:"):
            odd = client.post("/Deliveries", content=FILE, headers={"Content-Digest": header})
            assert (odd.status_code, odd.json()["Errors"][0]["Field"]) == (400, "Content-Digest")
    assert door.desk.spool.pending() == []


def test_a_last_line_without_end_is_whole_by_its_length(site: Site, tmp_path: Path) -> None:
    """The announced length proves that nothing is missing; without one, the last chunk does."""
    site.load(tmp_path, Sale("A-1"), Sale("A-2"))
    with site.client() as client:
        sent = b"ActionId,Reason\nA-1,OTHER"
        one = client.post("/Deliveries", content=sent).json()["DeliveryId"]
        two = client.post("/Deliveries", content=iter([b"ActionId,Reason\n", b"A-2,OTHER"])).json()["DeliveryId"]
        assert [site.desk.spool.find(each).proven for each in (one, two)] == [True, True]
        site.finish()
        assert client.get(f"/Deliveries/{one}").json()["State"] == "done"
    assert [action(site.desk.store, each)["state"] for each in ("A-1", "A-2")] == ["REVERSED", "REVERSED"]


def test_multipart(door: Site) -> None:
    """The file of a form, under the name it was sent with; other fields mean nothing."""
    with door.client() as client:
        form: list[Any] = [("comment", (None, b"x" * 5000)), ("file", ("r\u00fcckgabe.csv", FILE, "text/csv"))]
        number = client.post("/Deliveries", files=form).json()["DeliveryId"]
        envelope = door.desk.spool.find(number)
        assert (envelope.name, door.desk.spool.content(number).read_bytes()) == ("r\u00fcckgabe.csv", FILE)
        door.finish()
        two = client.post("/Deliveries", files=[("file", ("a.csv", FILE)), ("file", ("b.csv", FILE))])
        none = client.post("/Deliveries", files={"comment": (None, b"x")})
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        odd = client.post("/Deliveries", content=b"what", headers=kind)
        cut = client.post(
            "/Deliveries", content=b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx', headers=kind
        )
        bare = client.post("/Deliveries", content=b"what", headers={"Content-Type": "multipart/form-data"})
    refused = [(one.status_code, one.json()["Code"]) for one in (two, none, odd, cut, bare)]
    malformed = (400, "MALFORMED_BODY")
    assert refused == [malformed, malformed, malformed, (400, "LENGTH_MISMATCH"), malformed]
    assert door.desk.spool.pending() == []


@pytest.mark.parametrize("name", ["preview", "FileName", "ActionTrackerId", "Preview"])
@pytest.mark.parametrize("first", [True, False])
def test_a_parameter_beside_the_file_is_refused(door: Site, name: str, *, first: bool) -> None:
    """It would be passed over in silence: a preview would be applied."""
    form: list[Any] = [(name, (None, "true")), ("file", ("returns.csv", FILE))]
    with door.client() as client:
        answer = client.post("/Deliveries", files=form if first else form[::-1])
    assert (answer.status_code, answer.json()["Code"]) == (400, "VALIDATION_FAILED")
    assert answer.json()["Errors"] == [
        {"Field": name, "Message": "Give it in the query of the address; a form has the file only."}
    ]
    assert door.desk.spool.pending() == []


@pytest.mark.parametrize("bad", [b"\0", b"\x01", b"\x7f", "\u0085".encode()])
def test_a_name_with_a_control_character_is_refused(door: Site, bad: bytes) -> None:
    """In a form, as in the query."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a' + bad + b'b.csv"\r\n\r\n'
    with door.client() as client:
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        form = client.post("/Deliveries", content=head + FILE + b"\r\n--b--\r\n", headers=kind)
        query = client.post("/Deliveries", content=FILE, params={"FileName": f"a{bad.decode()}b.csv"})
    assert [(one.status_code, one.json()["Code"]) for one in (form, query)] == [(400, "VALIDATION_FAILED")] * 2
    assert form.json()["Errors"] == [
        {"Field": "filename", "Message": "A file name cannot contain control characters. Rename the file."}
    ]
    assert door.desk.spool.pending() == []


def test_half_a_body_leaves_nothing(door: Site) -> None:
    """A connection that ends before the announced length, or before the last chunk."""
    host, port = door.url.removeprefix("http://").split(":")
    _, secret = door.office.tokens.make(SID, Scope.WRITE, door.clock())
    basic = base64.b64encode(f"{SID}:{secret}".encode()).decode()
    head = f"POST /Advertisers/{SID}/Deliveries HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\n"
    # Enough to lie on the disk already.
    part = "A-1,OTHER\n" * 150_000
    for framing in ("Content-Length: 4000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3d0900\r\n"):
        with socket.create_connection((host, int(port))) as sender:
            sender.sendall(f"{head}{framing}ActionId,Reason\n{part}".encode())
            until(lambda: any(_uploads(door)), "the upload has begun")
        until(lambda: not any(_uploads(door)), "the upload is gone")
    assert door.desk.spool.pending() == []


def _uploads(door: Site) -> list[Path]:
    return list((door.office.scratch.parent / "spool" / "tmp").iterdir())


def test_limits(desk: Desk, store_url: str, tmp_path: Path, clock: Clock) -> None:
    """A body that is too large, announced or not, and one that stops coming."""
    settings = settings_of(tmp_path, store_url, max_upload_bytes=1000, idle_timeout_s=1)
    with serving(desk, settings, clock) as site, site.client() as client:
        assert client.post("/Deliveries", content=b"x" * 1000).status_code == 202
        for content in (b"x" * 1001, iter([b"x" * 600] * 2)):
            large = client.post("/Deliveries", content=content)
            assert (large.status_code, large.json()["Code"]) == (413, "BODY_TOO_LARGE")
        assert len(desk.spool.pending()) == 1
        assert list((tmp_path / "spool" / "tmp").iterdir()) == []


def test_a_key_makes_an_upload_safe_to_repeat(door: Site) -> None:
    """The same file under the same key is the same delivery; another file is refused."""
    with door.client() as client:
        headers = {"Idempotency-Key": "monday"}
        first = client.post("/Deliveries", content=FILE, headers=headers).json()
        assert client.post("/Deliveries", content=FILE, headers=headers).json() == first
        other = client.post("/Deliveries", content=FILE + b"A-3,0,OTHER\n", headers=headers)
        assert (other.status_code, other.json()["Code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
        assert len(door.desk.spool.pending()) == 1
        door.finish()


def test_memory_stays_flat(door: Site) -> None:
    """64 MiB in blocks that nobody gathers: the server's process grows by less than a quarter of it."""
    block = b"x" * (1 << 20)
    with door.client() as client:
        before = _resident_bytes()
        assert client.post("/Deliveries", content=(block for _ in range(64))).status_code == 202
        assert _resident_bytes() - before < 16 * len(block)
    [pending] = door.desk.spool.pending()
    assert pending.size_bytes == 64 * len(block)
    door.finish()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
