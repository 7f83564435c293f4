"""Where questions and phrases stand in a sequence of ids, and the plain facts of proposals that the region reader sees beside them.

Pure bookkeeping; the scores are the reader's.
"""

from collections.abc import Sequence

import torch

from unified_demo.regions import COLOURS, PARTS, PLACE_WIDTH

FACTS_WIDTH = PLACE_WIDTH + 2 * PARTS * len(COLOURS)


def facts(place: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
    """(n, PLACE_WIDTH) and (n, PARTS*len(COLOURS)) -> (n, FACTS_WIDTH); the root lets a small share of a colour count."""
    return torch.cat([place, colours, colours.sqrt()], -1)


def latest_question(ids: Sequence[int], turn_marks: tuple[int, ...]) -> list[int]:
    """The user's latest turn: what follows the latest ``turn_marks`` (start of a turn, "user") up to the next mark of a turn."""
    start, user = turn_marks
    for place in range(len(ids) - 2, -1, -1):
        if ids[place] == start and ids[place + 1] == user:
            rest = ids[place + 2 :]
            return list(rest[: next((index for index, token in enumerate(rest) if token == start), len(rest))])
    return []


def answer_places(ids: Sequence[int], answer_marks: tuple[int, ...]) -> list[int]:
    """Places of the last of ``answer_marks`` (the tokens that open an assistant's turn), one for each turn."""
    length = len(answer_marks)
    return [place + length - 1 for place in range(len(ids) - length + 1) if tuple(ids[place : place + length]) == answer_marks]


def phrase_places(ids: Sequence[int], open_box: int, vocab_size: int) -> list[int]:
    """Places of the phrase's words when ``ids`` end in ``open_box``: the latest run of words before it, earlier boxes skipped.

    Empty when ``ids`` do not end in ``open_box``. Tags and pointing tokens are ids from ``vocab_size`` on.
    """
    if not ids or ids[-1] != open_box:
        return []
    close_box = open_box + 1
    place = len(ids) - 2
    while place >= 0 and (ids[place] >= vocab_size or ids[place] < 0):
        if ids[place] == close_box:
            while place >= 0 and ids[place] != open_box:
                place -= 1
        place -= 1
    end = place
    while place >= 0 and 0 <= ids[place] < vocab_size:
        place -= 1
    return list(range(place + 1, end + 1))


def agreed(points: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """(n,) logits of pointing by the phrase of the answer, and (n,) log-probabilities by the question: their product, with the weight that
    pointing had beside all words.

    A phrase can be wrong ("the chair" for what one sits on) where the question was understood; a question can be vague where the
    phrase is not.
    """
    return (points.log_softmax(-1) + asked).log_softmax(-1) + points.logsumexp(-1)
