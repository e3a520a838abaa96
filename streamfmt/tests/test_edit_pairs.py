"""Values of xenstore's keys are changed by their keys, whatever their length, and so are the lengths around them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..errors import FieldError, RecipeError
from ..recipes.load import load
from ..schema.libxl import XENSTORE_KEY, XENSTORE_VALUE
from ..writer import Draft, xenstore
from .support.good_streams import LIBXL_HVM, LIBXL_REMUS, XL_HVM
from .support.vector import judge
from .test_edit import edited

PATH = "libxl.EMULATOR_XENSTORE_DATA"
NAME = PATH.partition(".")[2]
_text = {name: st.text(alphabet=alphabet.decode(), max_size=20) for name, alphabet in
         (("key", XENSTORE_KEY), ("value", XENSTORE_VALUE))}  # fmt: skip
_RESERVED = ("emulator_id", "index")
KEYS = _text["key"].filter(lambda key: key not in _RESERVED and "@" not in key and key != "")
PAIRS = st.dictionaries(KEYS, _text["value"], min_size=1, max_size=5)


def _of(base: Draft, pairs: dict[str, str]) -> bytes:
    return bytes(base.swap(PATH, xenstore(*(word for pair in pairs.items() for word in pair))).render())


@pytest.mark.parametrize("base", [LIBXL_HVM, XL_HVM], ids=["libxl", "xl"])
@given(pairs=PAIRS, data=st.data())
@settings(max_examples=25)
def test_other_values(base: Draft, pairs: dict[str, str], data: st.DataObject) -> None:
    """What comes of an edit is the stream with the other values; by a fault of a recipe the same."""
    new = {key: data.draw(_text["value"]) for key in data.draw(st.lists(st.sampled_from(sorted(pairs)), unique=True))}
    raw, wanted = _of(base, pairs), _of(base, pairs | new)
    made = edited(raw, *((f"{NAME}.{key}", value) for key, value in new.items()), (f"{NAME}.index", "0"))

    assert made == wanted


@given(pairs=PAIRS, data=st.data())
@settings(max_examples=25)
def test_faults_set_values(pairs: dict[str, str], data: st.DataObject) -> None:
    """A recipe with faults makes what a recipe with the other values makes."""
    new = {key: data.draw(_text["value"]) for key in data.draw(st.lists(st.sampled_from(sorted(pairs)), unique=True))}

    def recipe(values: dict[str, str]) -> str:
        rows = "".join(f"'{key}' = {{ hex = '{value.encode().hex()}' }}\n" for key, value in values.items())
        return f'recipe = 1\nguest = "hvm"\n[memory]\npages = 1\n[xenstore]\n{rows}'

    faults = "".join(
        f"[[fault]]\nset = '{NAME}'\nfield = '{key}'\nto = {{ hex = '{value.encode().hex()}' }}\n"
        for key, value in new.items()
    )
    assert load(recipe(pairs) + faults).stream.render() == load(recipe(pairs | new)).stream.render()


def test_of_one_checkpoint() -> None:
    """A number says which record; others stay."""
    raw = bytes(LIBXL_REMUS.render())
    one = LIBXL_REMUS.find(PATH, 1)
    pairs = [(pair["key"], pair["value"]) for pair in LIBXL_REMUS.parts[one].values["pairs"]]
    key = pairs[0][0].decode()
    made = edited(raw, (f"{NAME}[1].{key}", "a longer value than before"))
    new = [(pairs[0][0], b"a longer value than before"), *pairs[1:]]

    assert made == LIBXL_REMUS.swap(PATH, xenstore(*(word.decode() for pair in new for word in pair)), nth=1).render()
    assert judge([made]).conforms
    with pytest.raises(FieldError, match="there are several of EMULATOR_XENSTORE_DATA"):
        edited(raw, (f"{NAME}.{key}", "x"))


def test_what_has_no_such_key() -> None:
    """Each refusal says what there is."""
    raw = _of(LIBXL_HVM, {"a/b": "1", "c": "2"})
    at = raw.index(b"a/b\0")
    for data, field, message in (
        (raw, "d", "d is no key there, only a/b, c"),
        (raw.replace(b"c\x002\0", b"c\x002!"), "c", "has no pairs of strings"),
        (_of(LIBXL_HVM, {"a": "", "b": ""}).replace(b"a\0\0b\0\0", b"a\0\0a\0\0"), "a", "a is there 2 times"),
    ):
        with pytest.raises(FieldError, match=message):
            edited(data, (f"{NAME}.{field}", "x"))
    with pytest.raises(FieldError, match="its keys change as bytes"):
        edited(raw, (f"{NAME}.c", "xyz"), (f"@{at}", "00"))
    assert edited(raw, (f"@{at + 4}", "39"), (f"{NAME}.c", "xyz")) == _of(LIBXL_HVM, {"a/b": "9", "c": "xyz"})


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ('field = "foo"\nto = "x"', "field: of foo there are 0"),
        ('field = "name"\nto = { hex = "00" }', "to: a value has no NUL"),
        ('field = "name"', "it has no to, bytes"),
        ('field = "name"\nto = 5', "5 is not bytes"),
    ],
)
def test_faults_that_set_no_value(fault: str, message: str) -> None:
    """The refusal has the line."""
    with pytest.raises(RecipeError) as seen:
        load(f'recipe = 1\nguest = "hvm"\n[xenstore]\nname = "x"\n[[fault]]\nset = "{NAME}"\n{fault}\n')
    assert message in str(seen.value)
