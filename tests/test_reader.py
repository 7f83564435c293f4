"""The region reader: padding and order do not matter, pairs are measured right, and it learns to read a place."""

import random
from dataclasses import replace

import pytest
import torch

from unified_demo.data.knowledge import knowledge
from unified_demo.data.scenes import draw_scene
from unified_demo.model.pointing import FACTS_WIDTH
from unified_demo.model.reader import PAIR_FACTS, Reading, RegionReader, pair_facts

HIDDEN, WORDS = 32, 50


@pytest.fixture(scope="module")
def reader() -> RegionReader:
    torch.manual_seed(0)
    made = RegionReader(HIDDEN).eval()
    torch.nn.init.normal_(made.score.weight)
    return made


@pytest.fixture(scope="module")
def words() -> torch.Tensor:
    return torch.randn(WORDS, HIDDEN, generator=torch.Generator().manual_seed(1)) * 0.12


def reading(count: int, seed: int, question: tuple[int, ...] = (3, 4, 5), phrase: tuple[int, ...] = (6, 7)) -> Reading:
    generator = torch.Generator().manual_seed(seed)
    facts = torch.rand(count, FACTS_WIDTH, generator=generator)
    corner = torch.rand(count, 2, generator=generator) * 0.6
    facts[:, :2], facts[:, 2:4] = corner, corner + 0.05 + torch.rand(count, 2, generator=generator) * 0.3
    flags = torch.zeros(count, dtype=torch.bool)
    return Reading(question, phrase, torch.randn(count, HIDDEN, generator=generator) * 0.12, facts, flags, flags)


def test_what_else_is_in_the_batch_does_not_matter(reader: RegionReader, words: torch.Tensor) -> None:
    short, long = reading(3, 1, (3,), (6,)), reading(9, 2, tuple(range(40)), tuple(range(20)))
    together = reader([short, long], words)
    assert together.shape == (2, 10)
    assert torch.isinf(together[0, 4:]).all() and torch.isfinite(together[1, 1:]).all()
    assert torch.allclose(together[0, :4], reader([short], words)[0], atol=1e-4)
    assert torch.allclose(together[1], reader([long], words)[0], atol=1e-4)


def test_nothing_may_fit_a_question_but_a_phrase_means_something(reader: RegionReader, words: torch.Tensor) -> None:
    phrase, question = reader([reading(4, 1), reading(4, 1, phrase=())], words)
    assert torch.isinf(phrase[0]) and torch.isfinite(question).all()


def test_the_order_of_the_proposals_does_not_matter(reader: RegionReader, words: torch.Tensor) -> None:
    one = reading(6, 3)
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    other = Reading(one.question, one.phrase, one.labels[order], one.facts[order], one.pointed[order], one.marked[order])
    assert torch.allclose(reader([other], words)[0, 1:], reader([one], words)[0, 1:][order], atol=1e-4)


def test_words_and_what_was_pointed_at_matter(reader: RegionReader, words: torch.Tensor) -> None:
    one = reading(5, 4)
    flag = torch.tensor([True, False, False, False, False])
    first, *others = reader([one, replace(one, phrase=(8, 9)), replace(one, pointed=flag), replace(one, marked=flag)], words)[:, 1:]
    assert all((first - other).abs().max() > 1e-3 for other in others)
    assert (others[1] - others[2]).abs().max() > 1e-3


def test_what_a_question_means_matters_once_it_is_learnt_and_is_read_at_its_own_words(words: torch.Tensor) -> None:
    torch.manual_seed(3)
    reader = RegionReader(HIDDEN).eval()
    torch.nn.init.normal_(reader.score.weight)
    plain, other = reading(4, 6), reading(5, 7, tuple(range(9)), ())
    meant = replace(plain, meaning=torch.randn(3, HIDDEN))
    assert torch.allclose(reader([meant], words), reader([plain], words)), "it begins with words alone"
    torch.nn.init.normal_(reader.meaning[2].weight)
    alone = reader([meant], words)
    assert (alone - reader([plain], words))[0, 1:].abs().max() > 1e-3
    assert torch.allclose(reader([other, meant, plain], words)[1, :5], alone[0], atol=1e-4)
    assert torch.allclose(reader([other, meant, plain], words)[2, :5], reader([plain], words)[0], atol=1e-4)
    long = replace(reading(4, 8, tuple(range(40)), ()), meaning=torch.randn(40, HIDDEN))
    cut = replace(long, question=long.question[-28:], meaning=long.meaning[-28:])
    assert torch.allclose(reader([long], words), reader([cut], words), atol=1e-5)


def test_an_empty_question_and_an_empty_phrase_are_read(reader: RegionReader, words: torch.Tensor) -> None:
    assert torch.isfinite(reader([reading(4, 5, (), ())], words)).all()


def test_pairs_of_hand_computed_boxes() -> None:
    facts = torch.zeros(2, FACTS_WIDTH)
    facts[0, :4], facts[1, :4] = torch.tensor([0.0, 0.0, 0.4, 0.4]), torch.tensor([0.2, 0.0, 0.4, 0.4])
    facts[:, 11] = torch.tensor([0.9, 0.4])
    pairs = pair_facts(facts, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert pairs.shape == (2, 2, PAIR_FACTS)
    expected = [0.1, 0.0, float(torch.log(torch.tensor(0.5))) / 4, 0.5, 0.5, 1.0, 1.0, 0.0, -0.5, 0.1]
    assert pairs[0, 1].tolist() == pytest.approx(expected, abs=1e-5)
    assert pairs[0, 0, 7] == 1.0


def test_it_learns_which_of_two_is_on_the_left(words: torch.Tensor) -> None:
    torch.manual_seed(0)
    learner, hits = RegionReader(HIDDEN), []
    optimizer = torch.optim.Adam(learner.parameters(), lr=2e-3)
    for step in range(50):
        batch = [reading(2, step * 32 + number, (), (10,)) for number in range(32)]
        for item in batch:
            item.facts[:, 4:] = 0
            item.labels[:] = 0
        answers = torch.stack([item.facts[:, 0].argmin() for item in batch])
        scores = learner(batch, words)[:, 1:]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(scores, answers).backward()
        optimizer.step()
        hits.append(float((scores.argmax(-1) == answers).float().mean()))
    assert sum(hits[-10:]) / 10 > 0.85


def test_reported_scenes_hold_doubts_like_a_detectors() -> None:
    rng, labels = random.Random(3), tuple(knowledge())
    scenes = [draw_scene(rng, labels, []) for _ in range(200)]
    right = [scene.regions[index].score for scene in scenes for index in scene.things]
    wrong = [region.score for scene in scenes for index, region in enumerate(scene.regions) if index and index not in scene.things]
    assert 0.4 < sorted(right)[len(right) // 2] < 0.65
    assert 0.1 < sorted(wrong)[len(wrong) // 2] < 0.25
    assert 2 < len(wrong) / len(right) < 5
