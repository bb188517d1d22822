"""YAML that is written reads back as the same data, whatever the text in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distbragg.spec.commented import commented_yaml
from distbragg.spec.yaml_text import parse_yaml

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
PLAIN = st.one_of(
    st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False),
    TEXT, st.sampled_from(["1:30", "0x1F", "yes", "null", "1e5", "a: b", "# c", "~", "/a/b.c", ""]),
)  # fmt: skip
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "null")


@pytest.mark.spec("CLI-31")
@settings(max_examples=200)
@given(
    st.dictionaries(
        NAMES,
        st.one_of(PLAIN, st.lists(st.one_of(PLAIN, st.dictionaries(NAMES, PLAIN, max_size=2)))),
        min_size=1,
        max_size=4,
    ),
    st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=200),
)
def test_what_is_written_reads_back(plain: dict[str, object], said: str) -> None:
    written = commented_yaml({"section": plain}, lambda _: said, head="one\n\ntwo")
    assert parse_yaml(written) == {"section": plain}


def test_comments_stand_beside_short_lines_and_above_long_ones() -> None:
    said = {"a": "short", "b.c": "long " * 20, "b": ""}
    written = commented_yaml({"a": [1, 2.5], "b": {"c": "x y"}}, lambda path: said[path], head="h")
    assert written.splitlines() == [
        "# h",
        "a: [1, 2.5] # short",
        "b:",
        "  # " + " ".join(["long"] * 19),
        "  # long",
        "  c: x y",
    ]
