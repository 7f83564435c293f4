"""Where questions, answers and phrases stand in a sequence of ids."""

from unified_demo.model.pointing import answer_places, latest_question, phrase_places

WORDS, OPEN, CLOSE, OPEN_PHRASE, CLOSE_PHRASE, POINT = 100, 102, 103, 100, 101, 110


def test_phrase_is_the_words_before_the_box():
    assert phrase_places([1, 2, OPEN_PHRASE, 7, 8, CLOSE_PHRASE, OPEN], OPEN, WORDS) == [3, 4]


def test_phrase_is_found_behind_earlier_boxes_of_the_group():
    ids = [OPEN_PHRASE, 7, 8, CLOSE_PHRASE, OPEN, POINT, CLOSE, OPEN, 5, 6, CLOSE, OPEN]
    assert phrase_places(ids, OPEN, WORDS) == [1, 2]


def test_no_phrase_without_an_open_box_or_without_words():
    assert phrase_places([1, 2, CLOSE], OPEN, WORDS) == []
    assert phrase_places([OPEN_PHRASE, OPEN], OPEN, WORDS) == []
    assert phrase_places([], OPEN, WORDS) == []


def test_the_question_is_the_users_latest_turn() -> None:
    start, user, assistant, end = 100, 101, 102, 103
    ids = [start, user, 1, 2, end, start, assistant, 3, end, start, user, 999, 4, 5, start, assistant, 6]
    assert latest_question(ids, (start, user)) == [999, 4, 5]
    assert latest_question([1, 2, 3], (start, user)) == []


def test_an_answer_starts_behind_its_marks() -> None:
    assert answer_places([7, 8, 9, 1, 2, 7, 8, 9, 7, 8], (7, 8, 9)) == [2, 7]
    assert answer_places([], (7, 8, 9)) == []
