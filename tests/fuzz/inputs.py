"""What is thrown at the product: damaged input, input of the right alphabet, and noise."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64

_UNSPEAKABLE = {
    "a huge number": b"1e999",
    "a long number": b"9" * 5_000,
    "an overlong letter": b'"\xc0\xaf"',
    "half a letter": b'"\\ud800"',
}
"""What JSON may hold, or nearly so, that no writer of it would write, by what stands for it."""

SCALARS: SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [
            "",
            DIGEST,
            "sha512:",
            "\x00",
            "\ud800",
            "9" * 5_000,
            "2026-01-31T12:00:00Z",
            *_UNSPEAKABLE,
        ]
    )
)
VALUES: SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*above, key)
            yield from _places(inner, (*above, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield (*above, position)
            yield from _places(inner, (*above, position))


@st.composite
def damaged(draw: DrawFn, valid: Sequence[Any]) -> Any:
    """One of some valid documents, with up to three of its values replaced, moved or taken away."""
    document = copy.deepcopy(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(document))
        if not places:
            break
        *above, last = draw(st.sampled_from(places))
        holder = document
        for key in above:
            holder = holder[key]
        change = draw(st.sampled_from(["replace", "remove", "repeat"]))
        if change == "replace":
            holder[last] = draw(VALUES)
        elif change == "remove":
            del holder[last]
        elif isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[last:]) * 3)
        else:
            holder[draw(st.text(max_size=12))] = copy.deepcopy(holder[last])
    return document


def _encoded(value: Any) -> bytes:
    content = json.dumps(value).encode()
    for stands_for, unspeakable in _UNSPEAKABLE.items():
        content = content.replace(json.dumps(stands_for).encode(), unspeakable)
    return content


@st.composite
def _cut_or_spliced(draw: DrawFn, whole: SearchStrategy[bytes]) -> bytes:
    content = draw(whole)
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.binary(max_size=6)) + content[at + draw(st.integers(0, 6)) :]


def nested() -> SearchStrategy[bytes]:
    """Brackets in brackets, far deeper than anything that is read."""
    opening = st.sampled_from([b"[", b'{"a":', b'{"message":', b'{"manifests":[', b'{"context":'])
    return st.builds(lambda each, depth: each * depth, opening, st.sampled_from([9, 900, 90_000]))


def documents(*valid: Any) -> SearchStrategy[bytes]:
    """JSON that is nearly what is expected, and bytes that are not."""
    near = damaged(valid).map(_encoded)
    return near | near | _cut_or_spliced(near) | VALUES.map(_encoded) | nested() | st.binary()


def phrases(*words: str) -> SearchStrategy[str]:
    """Text that is made of the words of a grammar, in any order, and other text."""
    spoken = st.lists(st.sampled_from(words) | st.text(max_size=3), max_size=24).map("".join)
    return spoken | spoken | st.text(max_size=120)


def header_values(*words: str) -> SearchStrategy[str]:
    """The same, of the characters that a header can hold."""
    return phrases(*words).map(
        lambda text: "".join(each for each in text if " " <= each <= "\xff" and each != "\x7f")
    )
