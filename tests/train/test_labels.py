from __future__ import annotations

import pytest

from edgeinfer_train.errors import ConfigError
from edgeinfer_train.labels import split_labels, split_names

ITEMS = {
    "plain": (["happy,sad"], ("happy", "sad")),
    "spaces": ([" very tired , bored "], ("very tired", "bored")),
    "several items": (["happy,sad", "angry"], ("happy", "sad", "angry")),
    "comma in quotes": (['happy, "tired, bored"'], ("happy", "tired, bored")),
    "quote in quotes": (['"so ""tired""",bored'], ('so "tired"', "bored")),
    "inches": (['5" face,other'], ('5" face', "other")),
    "empty name": (["happy,,sad", ""], ("happy", "", "sad", "")),
}


@pytest.mark.parametrize(("items", "names"), ITEMS.values(), ids=ITEMS.keys())
def test_names_are_separated_by_commas_as_in_csv(items: list[str], names: tuple[str, ...]) -> None:
    assert split_names(items) == names


def test_labels_are_canonical() -> None:
    assert split_labels(['"Happiness", "tired, bored"']) == ("happy", "tired, bored")


@pytest.mark.parametrize("text", ['happy,"tired, bored', '"happy"s,sad', "happy\nsad"])
def test_unbalanced_quotes_are_rejected(text: str) -> None:
    with pytest.raises(ConfigError, match=r"invalid labels .* double quotes around a name that contains one"):
        split_names([text])
