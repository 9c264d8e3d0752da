"""Made parts of pages that are otherwise written by hand."""

from __future__ import annotations

import pytest

from conformance.documents.markdown import with_part

PAGE = "before\n<!-- part: made by hand -->\nold\n<!-- part: end -->\nafter\n"


def test_a_part_is_replaced_and_nothing_else() -> None:
    page = with_part(PAGE, "part", ["new", "lines"])
    assert page == "before\n<!-- part: made by hand -->\n\nnew\nlines\n\n<!-- part: end -->\nafter\n"
    assert with_part(page, "part", ["new", "lines"]) == page


@pytest.mark.parametrize("page", ["", PAGE + PAGE, PAGE.replace("<!-- part: end -->", ""), PAGE.replace("made", "m")])
def test_a_page_without_exactly_one_such_part_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="not one part"):
        with_part(page, "part", [])
