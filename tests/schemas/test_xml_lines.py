import pytest

from processing.codes import Code
from processing.errors import Unreadable
from schemas.chunk import Chunk
from schemas.xml_lines import NAMESPACE, read_head, read_lines, read_records

MODIFICATIONS = """\
<?xml version="1.0" encoding="UTF-8"?>
<ModificationRequests xmlns="http://ws.impactradius.com/ws/definitions">
  <!-- returns of the day -->
  <ModificationRequest>
    <ActionId>1000.4636.1</ActionId>
    <Amount>10.00</Amount>
    <Reason>ITEM_RETURNED</Reason>
  </ModificationRequest>
  <ModificationRequest><Order_ID>O&amp;2</Order_ID><ActionTrackerID>16027</ActionTrackerID><Reason/></ModificationRequest>
</ModificationRequests>
"""
REVERSALS = (
    "<ReversalRequests><ReversalRequest><Oid>ö</Oid><Reason>RETURNED</Reason></ReversalRequest></ReversalRequests>"
)


def read(text: str, size: int = 100, ignore: tuple[str, ...] = (), block: int = 1 << 20) -> list[Chunk]:
    """All chunks of a document."""
    return list(read_lines((text[at : at + block] for at in range(0, len(text), block)), ignore, size))


def request(inside: str) -> str:
    """A document of one modification."""
    return f"<ModificationRequests><ModificationRequest>{inside}</ModificationRequest></ModificationRequests>"


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_records_are_lines(size: int, block: int) -> None:
    """A record is a line, its number the ordinal, its elements the columns; what it lacks is empty."""
    chunks = read(MODIFICATIONS, size, block=block)
    rows = [row for chunk in chunks for row in chunk.cells.itertuples(index=False, name=None)]
    assert list(chunks[0].cells.columns) == [
        "ActionId",
        "Oid",
        "ActionTrackerId",
        "Amount",
        "CurrencyCode",
        "CustomerStatus",
        "Reason",
    ]
    assert rows == [
        ("1000.4636.1", "", "", "10.00", "", "", "ITEM_RETURNED"),
        ("", "O&2", "16027", "", "", "", ""),
    ]
    assert [number for chunk in chunks for number in chunk.lines.tolist()] == [1, 2]
    assert len(chunks) == (2 if size == 1 else 1)


def test_the_root_tells_the_kind() -> None:
    """Modifications and reversals have their own roots; the namespace may be left out."""
    head = read_head(iter([MODIFICATIONS]))
    assert (head.kind, head.root, head.record) == ("modifications", "ModificationRequests", "ModificationRequest")
    assert head.namespace == NAMESPACE
    head = read_head(iter([REVERSALS]))
    assert (head.kind, head.record, head.namespace) == ("reversals", "ReversalRequest", "")


def test_a_prefix_does_not_matter() -> None:
    """A namespace prefix is spelling; so is a schema location."""
    text = (
        f'<i:ReversalRequests xmlns:i="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:schemaLocation="a b"><i:ReversalRequest><i:Oid>O1</i:Oid></i:ReversalRequest></i:ReversalRequests>'
    )
    assert read(text)[0].cells["Oid"].tolist() == ["O1"]


@pytest.mark.parametrize("text", [MODIFICATIONS.strip(), REVERSALS], ids=["modifications", "reversals"])
def test_a_document_that_is_cut_anywhere_is_not_complete(text: str) -> None:
    """The closing tag proves the document; without its last character nothing of it counts."""
    assert read(text)
    for end in range(len(text)):
        with pytest.raises(Unreadable) as raised:
            read(text[:end], size=1)
        assert raised.value.code is Code.NOT_READABLE


@pytest.mark.parametrize(
    ("case", "text", "code", "words"),
    [
        ("no records", "<ReversalRequests/>", Code.NO_LINES, "no lines"),
        ("unknown element", request("<Ammount>1</Ammount>"), Code.COLUMN_UNKNOWN, "Did you mean Amount?"),
        ("item level", request("<Items><Item/></Items>"), Code.COLUMN_UNKNOWN, "'Items'"),
        (
            "an element in an element",
            request("<Amount><b>1</b></Amount>"),
            Code.NOT_READABLE,
            "Element b stands inside Amount",
        ),
        ("an attribute", request('<Amount currency="JPY">1</Amount>'), Code.NOT_READABLE, "'currency'"),
        ("text between elements", request("<Oid>1</Oid>oops"), Code.NOT_READABLE, "'oops'"),
        ("another root", "<ConversionRequests/>", Code.NOT_READABLE, "The root element is ConversionRequests"),
        ("HTML", "<html><body>503</body></html>", Code.NOT_READABLE, "The root element is html"),
        (
            "a record of the other kind",
            "<ReversalRequests><ModificationRequest/></ReversalRequests>",
            Code.NOT_READABLE,
            "only ReversalRequest can",
        ),
        ("another namespace", '<ReversalRequests xmlns="urn:x"/>', Code.NOT_READABLE, "'urn:x'"),
        ("not well-formed", request("<Oid>1</Amount>"), Code.NOT_READABLE, "mismatched tag"),
        ("two roots", REVERSALS + REVERSALS, Code.NOT_READABLE, "junk after document element"),
        ("a DTD", "<!DOCTYPE a>" + REVERSALS, Code.NOT_READABLE, "document type declaration"),
        (
            "a bomb",
            '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>' + request("<Oid>&c;</Oid>"),
            Code.NOT_READABLE,
            "document type declaration",
        ),
        ("an entity of its own", request("<Oid>&b;</Oid>"), Code.NOT_READABLE, "undefined entity"),
        ("a control character", request("<Oid>a\x00b</Oid>"), Code.NOT_READABLE, "not well-formed"),
        ("text without end", request("<Oid>" + "x" * 70_000 + "</Oid>"), Code.NOT_READABLE, "longer than 65536"),
        ("elements without end", request("<Oid>x</Oid>" * 1001), Code.NOT_READABLE, "more than 1000 elements"),
        ("a comment without end", "<!--" + "x" * 3_000_000, Code.NOT_READABLE, "longer than"),
        ("empty", "", Code.NOT_READABLE, "no element found"),
    ],
)
def test_what_is_no_such_document_is_refused_as_a_whole(case: str, text: str, code: Code, words: str) -> None:
    """A document with anything unexpected in it is not guessed at."""
    with pytest.raises(Unreadable) as raised:
        read(text)
    assert raised.value.code is code, case
    assert words in str(raised.value)


def test_the_place_of_a_fault_is_told() -> None:
    """Line and column lead to the fault."""
    with pytest.raises(Unreadable, match=r"mismatched tag\), at line 3, column 8"):
        read("<ReversalRequests>\n<ReversalRequest>\n<Oid></Amount>")


def test_an_element_twice_spoils_its_record_only() -> None:
    """Nobody knows which of two amounts is meant; the records around it are fine."""
    records = [
        "<Oid>O1</Oid>",
        "<Amount>1</Amount><Oid>O2</Oid><amount>2</amount>",
        "<Oid>O3</Oid>",
    ]
    inside = "</ModificationRequest><ModificationRequest>".join(records)
    [chunk] = read(request(inside))
    assert chunk.lines.tolist() == [1, 3]
    [bad] = chunk.bad
    assert (bad.line, bad.code, bad.field) == (2, Code.FIELD_COUNT, "Amount")
    assert bad.message == "The record has Amount more than once: '1' and '2'. Keep one of them."


def test_ignored_elements_are_kept_but_mean_nothing() -> None:
    """An element that the account lists may be there, even twice."""
    text = request("<Store>a</Store><Oid>O1</Oid><Store>b</Store>")
    [chunk] = read(text, ignore=("store",))
    assert chunk.cells["Oid"].tolist() == ["O1"]
    [[record]] = read_records(iter([text]), ("store",))
    assert record.fields == [("Store", "a"), ("Oid", "O1"), ("Store", "b")]
    assert record.columns == [None, "order_id", None]


def test_text_is_kept_as_it_is() -> None:
    """Blanks, line breaks and character data are the contract's to judge."""
    [chunk] = read(request("<Oid> a\r\n<![CDATA[<b>]]>&#13; </Oid>"))
    assert chunk.cells["Oid"].tolist() == [" a\n<b>\r "]
