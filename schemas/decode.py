"""From bytes on disk to text, a block at a time: which encoding a delivery is in, and its text.

The first that holds:

1. a byte order mark: UTF-8, UTF-16 or UTF-32, and nothing else will do;
2. every other one of the first bytes is NUL: UTF-16 without a mark;
3. XML that declares its encoding: that one;
4. the whole file is strict UTF-8;
5. the encoding that the account declared, if the whole file is;
6. of Windows-1252, Shift_JIS (as Windows writes it) and GB18030 the one in which the whole file can be read; of several
   the one that the first lines that are not ASCII are in beyond doubt (``schemas.guess``). XML is never guessed:
   without a declaration it is UTF-8 or what the account declared.

What cannot be decided is not read: text in the wrong encoding is worse than none.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from processing.codes import Code
from processing.errors import Unreadable, Unusable
from schemas.guess import GUESSED, only_lone_kana, told_apart

BLOCK_BYTES: Final = 256 * 1024

# The mark of UTF-16 is the beginning of that of UTF-32.
_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_READABLE: Final = re.compile(
    r"ascii|utf-8|utf-16-[lb]e|cp(125\d|437|850|874|932|949)|iso8859-\d{1,2}|shift_jis|euc_(jp|kr)|gb(2312|k|18030)|big5"
    r"|koi8-r|mac-roman"
)
_XML: Final = re.compile(rb"""\s*<\?xml[^>]{0,200}?\bencoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_NOT_ASCII: Final = re.compile(rb"[^\r\n]*[\x80-\xff][^\r\n]*")
_NUL_SAMPLE: Final = 64
_SAMPLE_BYTES: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a delivery writes text: the codec's name and the mark before the first character.

    ``is_guessed``: neither the file nor its account says so, and of other lines it might be told otherwise.
    """

    name: str
    mark: bytes = b""
    is_guessed: bool = False


def find_encoding(path: Path, declared: str | None = None) -> Encoding:
    """The encoding in which the whole file can be read.

    Raises ``Unreadable`` (NOT_READABLE, with the offset of the first byte that cannot be read) if there is none, and
    ``Unusable`` if ``declared`` is not an encoding.
    """
    fallback = None if declared is None else readable_codec(declared)
    if declared is not None and fallback is None:
        raise Unusable(f'"{declared}" is not an encoding; give its name, for example "cp1252" or "shift_jis".')
    with path.open("rb") as file:
        head = file.read(4 * 1024)
    certain = _certain(head)
    if certain is not None:
        return _insist(path, certain)
    utf8 = Encoding("utf-8")
    fault = first_fault(path, utf8)
    if fault is None:
        return utf8
    if fallback is not None:
        return _insist(path, Encoding(fallback))
    possible = [] if head.lstrip().startswith(b"<") else _possible(path)
    if not possible:
        raise _unreadable(f"Byte {fault} is not UTF-8, and the file is in no other encoding that we recognise.")
    name = possible[0] if len(possible) == 1 else told_apart(_sample(path), possible)
    if name is None:
        raise _unreadable(
            f"Byte {fault} is not UTF-8, and it cannot be told whether the file is {' or '.join(possible)}. "
            "Have the encoding of your files entered at the programme's desk."
        )
    return Encoding(name, is_guessed=True)


def read_text(path: Path, encoding: Encoding) -> Iterator[str]:
    """The file's text in blocks, without its mark; line breaks are as sent.

    Raises ``UnicodeDecodeError`` if the file is not in ``encoding``, which ``find_encoding`` has ruled out.
    """
    decoder = codecs.getincrementaldecoder(encoding.name)("strict")
    with path.open("rb") as file:
        file.seek(len(encoding.mark))
        while block := file.read(BLOCK_BYTES):
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)


def first_fault(path: Path, encoding: Encoding) -> int | None:
    """The offset of the first byte that cannot be read in ``encoding``, ``None`` if all can."""
    decoder = codecs.getincrementaldecoder(encoding.name)("strict")
    offset = len(encoding.mark)
    with path.open("rb") as file:
        file.seek(offset)
        while True:
            block = file.read(BLOCK_BYTES)
            kept = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return offset - kept + error.start
            if not block:
                return None
            offset += len(block)


def is_terminated(path: Path, encoding: Encoding) -> bool:
    """Whether the file's last line ends with a line break."""
    width = len("\n".encode(encoding.name))
    with path.open("rb") as file:
        file.seek(-min(width, path.stat().st_size), 2)
        end = file.read()
    # In none of the encodings we read does a line break's byte end another character.
    return end in {break_.encode(encoding.name) for break_ in "\r\n"}


def readable_codec(name: str) -> str | None:
    """Python's name of an encoding, ``None`` if it is none that a delivery may be in."""
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return codec if _READABLE.fullmatch(codec) else None


def _certain(head: bytes) -> Encoding | None:
    """The encoding that the first bytes leave no doubt about."""
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return Encoding(name, mark)
    start = head[:_NUL_SAMPLE]
    even, odd = start[::2], start[1::2]
    # A header is ASCII, so in UTF-16 one byte of each pair is NUL; three in four leaves room for a brand's own column.
    if odd and odd.count(0) * 4 >= len(odd) * 3 and 0 not in even:
        return Encoding("utf-16-le")
    if odd and even.count(0) * 4 >= len(even) * 3 and 0 not in odd:
        return Encoding("utf-16-be")
    if found := _XML.match(head):
        name = found[1].decode("ascii")
        codec = readable_codec(name)
        if codec is None or codec.startswith("utf-16"):
            raise _unreadable(f'The file says that its encoding is "{name}", which it is not or which we do not read.')
        return Encoding(codec)
    return None


def _insist(path: Path, encoding: Encoding) -> Encoding:
    fault = first_fault(path, encoding)
    if fault is not None:
        raise _unreadable(f"Byte {fault} is not {encoding.name}, the encoding of the file.")
    return encoding


def _possible(path: Path) -> list[str]:
    possible = [name for name in GUESSED if first_fault(path, Encoding(name)) is None]
    # A lone accented capital of Windows-1252 would be a lone half-width katakana.
    if {"cp1252", "cp932"} <= {*possible} and only_lone_kana(_sample(path)):
        possible.remove("cp932")
    return possible


def _sample(path: Path) -> bytes:
    """The first lines that are not ASCII."""
    sample = bytearray()
    with path.open("rb") as file:
        while len(sample) < _SAMPLE_BYTES and (block := file.read(BLOCK_BYTES)):
            for line in _NOT_ASCII.finditer(block):
                sample += line[0][:_SAMPLE_BYTES] + b"\n"
                if len(sample) >= _SAMPLE_BYTES:
                    break
    return bytes(sample)


def _unreadable(reason: str) -> Unreadable:
    return Unreadable(Code.NOT_READABLE, Code.NOT_READABLE.message(reason=reason))
