import pyarrow as pa
import pytest

from schemas.chunk import TEXT, quoted, shown, text_frame


@pytest.mark.parametrize(
    ("case", "text", "as_shown", "as_quoted"),
    [
        ("plain", "1e5", "1e5", "'1e5'"),
        ("empty", "", "", "''"),
        ("invisible", "1\x00\t ", "1\x00\t ", r"'1\x00\t '"),
        ("as long as is shown", "x" * 80, "x" * 80, "'" + "x" * 80 + "'"),
        ("longer", "x" * 81, "x" * 79 + "…", "'" + "x" * 79 + "…'"),
    ],
)
def test_values_are_shown_short_and_unmistakable(case: str, text: str, as_shown: str, as_quoted: str) -> None:
    """A raw value is cut at 80 characters and its invisible characters are written out."""
    assert (shown(text), quoted(text)) == (as_shown, as_quoted), case


def test_a_frame_may_have_a_name_twice() -> None:
    """Two ignored columns may have the same name."""
    frame = text_frame(["Note", "Note"], [pa.array(["a"]), pa.array(["b"])])
    assert list(frame.columns) == ["Note", "Note"]
    assert frame.iloc[0].tolist() == ["a", "b"]
    assert set(frame.dtypes) == {TEXT}
