"""What a message is taken for: its files, its sender, and whether it may be answered."""

from email.message import EmailMessage

import pytest

from connectors import mail_parts
from connectors.mail_parts import Attachment, Letter
from tests.connectors.smtp_site import CSV, mail
from tests.mail_world import raw

TO = "x@returns.example"
START = b"From: ops@acme.example\r\nSubject: Returns\r\n"
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
NESTED = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (at, at) for at in range(5000))
XML = b"<?xml version='1.0'?><ModificationRequests/>"
ZIP = b"PK\x03\x04rest"
GZIP = b"\x1f\x8brest"


def read(message: EmailMessage | bytes, mail_from: str = "ops@acme.example") -> Letter:
    """The message, understood."""
    content = message if isinstance(message, bytes) else raw(message)
    return mail_parts.read(content, mail_from=mail_from, recipient=TO)


def names(message: EmailMessage | bytes) -> list[str]:
    """The names of its files."""
    return [one.name for one in read(message).attachments]


def by_hand(*headers: str, body: str = "", encoding: str = "utf-8") -> bytes:
    """A message of one part, written as some program would."""
    lines = ["From: ops@acme.example", "MIME-Version: 1.0", *headers, "", body, ""]
    return "\r\n".join(lines).encode(encoding)


@pytest.mark.parametrize(
    ("kind", "name", "content", "expected"),
    [
        ("text/csv", "returns.csv", CSV, "returns.csv"),
        ("application/octet-stream", "RETURNS.CSV", CSV, "RETURNS.CSV"),
        ("application/vnd.ms-excel", "returns.csv", CSV, "returns.csv"),
        ("application/xml", "returns.xml", XML, "returns.xml"),
        ("application/octet-stream", "returns.xlsx", ZIP, "returns.xlsx"),
        ("application/zip", "returns.zip", ZIP, "returns.zip"),
        ("application/gzip", "returns.csv.gz", GZIP, "returns.csv.gz"),
        ("text/csv", None, CSV, "attachment.csv"),
        ("application/octet-stream", "returns", ZIP, "returns.zip"),
        ("application/octet-stream", "returns.dat", GZIP, "returns.dat.gz"),
        ("application/octet-stream", "returns", XML, "returns.xml"),
        ("text/plain", "returns.txt", CSV, "returns.txt.csv"),
        ("application/octet-stream", "export", b"\xef\xbb\xbf" + CSV, "export.csv"),
        ("application/octet-stream", "../../etc/returns.csv", CSV, "returns.csv"),
        ("application/octet-stream", "C:\\data\\returns.csv", CSV, "returns.csv"),
        ("image/png", "logo.png", b"\x89PNG", None),
        ("image/png", "returns.csv", CSV, None),
        ("text/plain", "notes.txt", b"Hello, see below\n", None),
        ("text/html", "returns.csv", b"<html>", None),
        ("application/pdf", "returns.pdf", b"%PDF-1.7", None),
        ("text/calendar", "invite.ics", b"BEGIN:VCALENDAR", None),
        ("application/pkcs7-signature", "smime.p7s", b"0\x82", None),
        ("text/csv", "result_returns.csv", CSV, None),
        ("text/csv", "fix_returns.csv", CSV, None),
        ("text/csv", "empty.csv", b"\r\n", None),
    ],
)
def test_what_is_a_file(kind: str, name: str | None, content: bytes, expected: str | None) -> None:
    """By name, by type, by content; never pictures, signatures, texts, or what we sent ourselves."""
    message = mail(TO)
    message.clear_content()
    message.set_content("Our returns:\nActionId,Amount,Reason\n1,0,X\n")
    message.add_alternative("<p>Our returns</p>", subtype="html")
    main, _, sub = kind.partition("/")
    message.add_attachment(content, main, sub, filename=name)
    assert read(message).attachments == (() if expected is None else (Attachment(expected, content),))


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('Content-Disposition: attachment; filename="r\u00fcck.csv"', "rück.csv"),
        ("Content-Disposition: attachment; filename*=UTF-8''r%C3%BCck.csv", "rück.csv"),
        ("Content-Disposition: attachment; filename*=ISO-8859-1''r%FCck.csv", "rück.csv"),
        ("Content-Disposition: attachment; filename*0*=UTF-8''r%C3%BC; filename*1=ck.csv", "rück.csv"),
        ('Content-Disposition: attachment; filename="=?utf-8?B?csO8Y2suY3N2?="', "rück.csv"),
        ("Content-Type: text/csv; name=old.csv", "old.csv"),
        ("Content-Disposition: attachment; filename*=nonsense''%zz.csv", "%zz.csv"),
    ],
)
def test_names(header: str, name: str) -> None:
    """RFC 2231 and 5987, and what mailers write instead."""
    kind = [] if header.startswith("Content-Type") else ["Content-Type: application/octet-stream"]
    assert names(by_hand(*kind, header, body=CSV.decode())) == [name]


def test_same_name_twice_is_two() -> None:
    """In the order in which they stand."""
    message = mail(TO)
    message.add_attachment(CSV + b"1000.2,0,X\r\n", "text", "csv", filename="returns.csv")
    first, second = read(message).attachments
    assert (first.name, second.name) == ("returns.csv", "returns.csv")
    assert first.content != second.content


def test_messages_within_messages_are_opened_once() -> None:
    """Forwarded as an attachment: its files count; those of a message in it do not."""
    innermost, inner, outer = (mail(TO, name=f"{name}.csv") for name in ("deepest", "inner", "outer"))
    innermost.set_boundary("innermost")
    inner.set_boundary("inner")
    inner.add_attachment(innermost)
    outer.add_attachment(inner)
    assert names(outer) == ["outer.csv", "inner.csv"]


def test_cut_off_and_damaged() -> None:
    """Whose end is missing, or whose base64 is broken: not a file to apply."""
    whole = raw(mail(TO))
    assert not read(whole).cut_off
    assert not read(whole).attachments[0].damaged
    assert read(whole[:-20]).cut_off
    assert read(whole.replace(b"QWN0aW9uSWQs", b"QWN0aW9uSWQ")).attachments[0].damaged
    assert read(whole.replace(b"QWN0aW9uSWQs", b"QWN0!!9uSWQs")).attachments[0].damaged


def test_sender_is_one_address() -> None:
    """Compared in small letters; two, none or nonsense are nobody."""
    assert read(mail(TO, From="Ops <OPS@Acme.Example>")).sender == "ops@acme.example"
    twice = raw(mail(TO)).replace(b"From:", b"From: boss@acme.example\r\nFrom:")
    assert read(twice).sender == ""
    for sender in ("a@x.example, b@y.example", "nobody", "", "<>", "undisclosed:;"):
        assert read(by_hand().replace(b"ops@acme.example", sender.encode())).sender == ""


def test_identity_is_message_id_and_content() -> None:
    """What servers on the way add changes nothing; another recipient's is another."""
    whole = raw(mail(TO))
    assert read(b"Received: by mx.example\r\n" + whole).identity == read(whole).identity
    assert read(whole.replace(b"50.00", b"51.00")).identity == read(whole).identity
    assert read(whole.replace(b"Message-ID: <", b"Message-ID: <1")).identity != read(whole).identity
    assert read(whole + b" ").identity != read(whole).identity
    assert mail_parts.read(whole, mail_from="", recipient="y@returns.example").identity != read(whole).identity


@pytest.mark.parametrize(
    ("headers", "path", "because"),
    [
        ({}, "ops@acme.example", ""),
        ({"Auto-Submitted": "no"}, "ops@acme.example", ""),
        ({}, "", "it has no return path"),
        ({"Auto-Submitted": "auto-generated"}, "ops@acme.example", "it was sent automatically"),
        ({"Auto-Submitted": "auto-replied; owner=x"}, "ops@acme.example", "it was sent automatically"),
        ({"List-Id": "<l.acme.example>"}, "ops@acme.example", "it came by a list"),
        ({"Precedence": "Bulk"}, "ops@acme.example", "it came by a list"),
        ({"X-Auto-Response-Suppress": "All"}, "ops@acme.example", "it asks not to be answered"),
        ({"X-Auto-Response-Suppress": "None"}, "ops@acme.example", ""),
        ({"From": "MAILER-DAEMON@acme.example"}, "ops@acme.example", "its sender is no person"),
        ({"From": "no-reply@acme.example"}, "ops@acme.example", "its sender is no person"),
    ],
)
def test_who_is_not_answered(headers: dict[str, str], path: str, because: str) -> None:
    """RFC 3834: or two machines would write to each other for ever."""
    message = mail(TO)
    for name, value in headers.items():
        del message[name]
        message[name] = value
    assert read(message, path).unanswered == because


def test_reports_are_not_deliveries() -> None:
    """A bounce of our own reply brings our own files back."""
    assert read(mail(TO), "").is_report
    report = by_hand('Content-Type: multipart/report; boundary="b"', body="--b\r\n\r\nfailed\r\n--b--")
    assert read(report).is_report
    assert not read(mail(TO)).is_report


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"\x00\xff\xfe",
        b"From: \xff\xff\r\nSubject: =?utf-8?B?!!!?=\r\n\r\n",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n--b--",
        b"Content-Transfer-Encoding: nonsense\r\nContent-Type: text/csv\r\n\r\nActionId,x\r\n",
        b"From: a@[\r\nMessage-ID: <<<\r\nReferences: <a <b> c>\r\n\r\n",
        b"Content-Disposition: attachment; filename*=;;==\r\n\r\nx",
    ],
)
def test_any_bytes_are_a_letter(content: bytes) -> None:
    """Nothing that anybody sends raises."""
    assert isinstance(read(content), Letter)


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        (START + MIXED + b"--b\r\n\r\n" * 1_000_000, "The message has more than 500 parts."),
        (START + NESTED, "The parts of the message lie more than 20 deep in each other."),
        (START + b"References: " + b"<a@b> " * 100_000 + b"\r\n\r\n", "The header References of the message has more"),
        (START + b"Content-Type: text/csv" + b"; a=b" * 50_000 + b"\r\n\r\n", "The header Content-Type of the message"),
        (START + b"From: x@evil.example\r\n" * 500_000 + b"\r\n", "A part of the message has more than 1,000 headers."),
        (
            START + MIXED + b"--b\r\nContent-Type: text/csv" + b"; a=b" * 50_000,
            "The header Content-Type of the message",
        ),
    ],
    ids=["parts", "levels", "a long header", "a long type", "many headers", "a long header of a part"],
)
@pytest.mark.timeout(20)
def test_what_is_not_taken_apart(message: bytes, refused: str) -> None:
    """What would take minutes or gigabytes has no files; who sent it and how it is answered is known all the same."""
    letter = read(message)
    assert letter.refused.startswith(refused)
    assert (letter.subject, letter.attachments, letter.cut_off) == ("Returns", (), False)
    assert letter.sender in {"ops@acme.example", ""}


def test_as_much_as_is_taken() -> None:
    """500 parts, 20 levels, and headers of some kilobytes are."""
    parts = b"".join(b"--b\r\nContent-Type: text/csv\r\n\r\n%d,Oid\r\n" % number for number in range(500))
    assert len(read(START + MIXED + parts + b"--b--\r\n").attachments) == 500
    levels = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (at, at) for at in range(20))
    ends = b"".join(b"\r\n--b%d--" % at for at in reversed(range(20)))
    letter = read(START + levels + b"Content-Type: text/csv\r\n\r\n1,Oid" + ends + b"\r\n")
    assert (len(letter.attachments), letter.refused, letter.cut_off) == (1, "", False)
    assert read(START + b"References: " + b"<a@b> " * 1000 + b"\r\n\r\n").references == ("<a@b>",) * 1000
