import pytest

from processing import errors
from processing.codes import Code
from processing.errors import ClawbackError, LedgerConflict, SourceUnreachable, StoreUnavailable, Unreadable

OURS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, ClawbackError)]


@pytest.mark.parametrize("kind", OURS)
def test_only_what_can_go_away_by_itself_is_tried_again(kind: type[ClawbackError]) -> None:
    """A busy store, a brand's server that is away and an action that moved meanwhile, nothing else."""
    assert kind.retryable is (kind in {StoreUnavailable, SourceUnreachable, LedgerConflict})


@pytest.mark.parametrize("kind", OURS)
def test_the_tree_of_the_docstring_is_the_tree(kind: type[ClawbackError]) -> None:
    """Each error is told of."""
    assert kind.__name__ in str(errors.__doc__)


def test_an_unreadable_file_has_a_code() -> None:
    """So that receipts can tell it."""
    error = Unreadable(Code.NO_LINES, "Nothing there.")
    assert (error.code, str(error)) == (Code.NO_LINES, "Nothing there.")
