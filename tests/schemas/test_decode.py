import codecs
from pathlib import Path

import pytest

from processing.codes import Code
from processing.errors import Unreadable, Unusable
from schemas.decode import BLOCK_BYTES, Encoding, find_encoding, first_fault, read_text

HEADER = "ActionId,Amount,Reason\n"
WESTERN = HEADER + "A.1,1.00,Rückgabe für André\nA.2,1.00,garçon\n"
JAPANESE = HEADER + "A.1,1.00,注文は返品されました\nA.2,1.00,株式会社髙島屋\n"
CHINESE = HEADER + "A.1,1.00,退货订单已经取消\nA.2,1.00,张三李四\n"


def written(folder: Path, content: bytes) -> Path:
    """A delivery's bytes on disk."""
    path = folder / "delivery"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("case", "content", "declared", "expected"),
    [
        ("ASCII", HEADER.encode(), None, Encoding("utf-8")),
        ("UTF-8", CHINESE.encode(), None, Encoding("utf-8")),
        ("UTF-8 beats the declaration", WESTERN.encode(), "cp1252", Encoding("utf-8")),
        ("UTF-8 with a mark", codecs.BOM_UTF8 + WESTERN.encode(), None, Encoding("utf-8", codecs.BOM_UTF8)),
        ("UTF-16 LE", codecs.BOM_UTF16_LE + WESTERN.encode("utf-16-le"), None, Encoding("utf-16-le", b"\xff\xfe")),
        ("UTF-16 BE", codecs.BOM_UTF16_BE + CHINESE.encode("utf-16-be"), None, Encoding("utf-16-be", b"\xfe\xff")),
        ("UTF-32 LE", codecs.BOM_UTF32_LE + CHINESE.encode("utf-32-le"), None, Encoding("utf-32-le", b"\xff\xfe\0\0")),
        ("UTF-32 BE", codecs.BOM_UTF32_BE + CHINESE.encode("utf-32-be"), None, Encoding("utf-32-be", b"\0\0\xfe\xff")),
        ("UTF-16 LE without a mark", JAPANESE.encode("utf-16-le"), None, Encoding("utf-16-le")),
        ("UTF-16 BE without a mark", JAPANESE.encode("utf-16-be"), None, Encoding("utf-16-be")),
        ("declared", WESTERN.encode("iso8859-15"), "ISO-8859-15", Encoding("iso8859-15")),
        ("Windows-1252", WESTERN.encode("cp1252"), None, Encoding("cp1252", is_guessed=True)),
        ("Shift_JIS", JAPANESE.encode("cp932"), None, Encoding("cp932", is_guessed=True)),
        ("GB18030", CHINESE.encode("gb18030"), None, Encoding("gb18030", is_guessed=True)),
        (
            "XML says it",
            '<?xml version="1.0" encoding="windows-1252"?><a>é</a>'.encode("cp1252"),
            None,
            Encoding("cp1252"),
        ),
        ("XML says nothing", "<a>é</a>".encode(), None, Encoding("utf-8")),
        ("XML, declared by the account", "<a>é</a>".encode("cp1252"), "cp1252", Encoding("cp1252")),
        ("empty", b"", None, Encoding("utf-8")),
    ],
)
def test_the_encoding_is_found(
    tmp_path: Path, case: str, content: bytes, declared: str | None, expected: Encoding
) -> None:
    """Mark, NUL pattern, declaration in XML, UTF-8, the account's declaration, a guess: the first that holds."""
    path = written(tmp_path, content)
    encoding = find_encoding(path, declared)
    assert encoding == expected, case
    text = content[len(expected.mark) :].decode(expected.name)
    assert "".join(read_text(path, encoding)) == text


@pytest.mark.parametrize(
    ("case", "content", "declared", "words"),
    [
        ("a mark that promises UTF-8", codecs.BOM_UTF8 + b"a\xe9,", None, "Byte 4 is not utf-8"),
        (
            "UTF-16 cut in a character",
            codecs.BOM_UTF16_LE + "ab".encode("utf-16-le") + b"c",
            None,
            "Byte 6 is not utf-16-le",
        ),
        ("not what was declared", HEADER.encode() + b"\xff\xff\xff", "shift_jis", "Byte 23 is not shift_jis"),
        ("none of the guesses", HEADER.encode() + b"\x81\x20\xff\xff", None, "Byte 23 is not UTF-8"),
        (
            "it could be two",
            HEADER.encode() + "A.1,1,Возврат\n".encode("euc_kr"),
            None,
            "told whether the file is cp1252 or",
        ),
        ("XML is never guessed", "<a>é</a>".encode("cp1252"), None, "Byte 3 is not UTF-8"),
        ("XML that lies", '<?xml version="1.0" encoding="utf-8"?><a>é</a>'.encode("cp1252"), None, "is not utf-8"),
        ("XML in no encoding", b'<?xml version="1.0" encoding="klingon"?><a/>', None, '"klingon"'),
        ("XML in a codec that is no encoding", b'<?xml version="1.0" encoding="rot13"?><a/>', None, '"rot13"'),
    ],
)
def test_bytes_that_are_no_text_are_named(
    tmp_path: Path, case: str, content: bytes, declared: str | None, words: str
) -> None:
    """A file in no encoding is refused with the offset of the byte that cannot be read."""
    with pytest.raises(Unreadable) as raised:
        find_encoding(written(tmp_path, content), declared)
    assert raised.value.code is Code.NOT_READABLE, case
    assert words in str(raised.value)


@pytest.mark.parametrize("name", ["klingon", "rot13", "base64", "utf-7"])
def test_a_declaration_must_be_an_encoding(tmp_path: Path, name: str) -> None:
    """What an account declares is checked before any file needs it."""
    with pytest.raises(Unusable, match=name):
        find_encoding(written(tmp_path, b""), name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "cp932", "gb18030", "cp1252"])
@pytest.mark.parametrize("shift", range(4))
def test_a_fault_is_found_behind_the_first_block(tmp_path: Path, encoding: str, shift: int) -> None:
    """Offsets count from the start of the file, also where a character lies on the border of two blocks."""
    letters = ("é" if encoding == "cp1252" else "返").encode(encoding)
    text = b"a".ljust(shift, b"a").decode().encode(encoding) + letters * (BLOCK_BYTES // len(letters) + 5)
    path = written(tmp_path, text)
    assert first_fault(path, Encoding(encoding)) is None
    broken = b"\x00\xd8\x00\x00" if encoding == "utf-16-le" else b"\x81\x20\xff"
    assert first_fault(written(tmp_path, text + broken), Encoding(encoding)) == len(text)
    assert "".join(read_text(written(tmp_path, text), Encoding(encoding))).encode(encoding) == text


def test_the_first_plausible_guess_is_always_the_same(tmp_path: Path) -> None:
    """Text that could be several encodings is read the same way each time."""
    path = written(tmp_path, HEADER.encode() + b"A.1,1.00,\xc9\n")
    assert {find_encoding(path) for _ in range(5)} == {Encoding("cp1252", is_guessed=True)}


@pytest.mark.parametrize("word", ["Größe", "Müller", "für", "été", "créée", "São", "Ø", "GARÇON", "sí", "Äpfel"])
def test_few_accented_letters_are_windows_1252(tmp_path: Path, word: str) -> None:
    """As some are as common as they are few, and their bytes could be hanzi or kanji."""
    path = written(tmp_path, f"{HEADER}A.1,1.00,{word}\nA.2,1.00,OTHER\n".encode("cp1252"))
    assert find_encoding(path) == Encoding("cp1252", is_guessed=True)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "男"),
        ("gb18030", "婷婷"),
        ("gb18030", "张妍"),
        ("cp932", "返品"),
        ("cp932", "ﾔﾏﾀﾞ"),
        ("cp932", "詩"),
        ("cp1252", "œuvre"),
        ("cp1252", "ÄÖÜ"),
        ("euc_kr", "한국"),
        ("big5", "退貨"),
    ],
)
def test_of_few_characters_no_encoding_is_guessed(tmp_path: Path, encoding: str, text: str) -> None:
    """Several fit, and the wrong one would write other characters; what is declared is read."""
    path = written(tmp_path, f"{HEADER}A.1,1.00,{text}\n".encode(encoding))
    with pytest.raises(Unreadable, match=r"it cannot be told whether .* entered at the programme's desk"):
        find_encoding(path)
    assert find_encoding(path, encoding).is_guessed is False
    assert "".join(read_text(path, find_encoding(path, encoding))).endswith(f",{text}\n")


def test_many_words_are_left_to_a_library(tmp_path: Path) -> None:
    """Half-width katakana could be hanzi, of which nobody writes such lines."""
    names = ("ﾔﾏﾀﾞ ﾀﾛｳ", "ｽｽﾞｷ ﾊﾅｺ", "ｻﾄｳ ｼﾞﾛｳ", "ﾜﾀﾅﾍﾞ", "ﾆｯﾎﾟﾝ ｼｭｰｽﾞ")
    text = "".join(f"A.{number},1.00,{name}{chr(0xFF71 + number)}\n" for number in range(40) for name in names)
    assert find_encoding(written(tmp_path, (HEADER + text).encode("cp932"))) == Encoding("cp932", is_guessed=True)
