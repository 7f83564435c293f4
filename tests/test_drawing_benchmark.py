"""The benchmark of drawing: all systems draw the same prompts, the first one does not count."""

from benchmarks.drawing import measure


def test_all_draw_the_same_prompts_in_turn() -> None:
    drawn: list[tuple[str, str]] = []
    figures = measure({name: lambda prompt, name=name: drawn.append((name, prompt)) for name in ("ours", "theirs")}, ("fox", "owl", "cat"))  # type: ignore[misc]
    assert drawn == [(name, prompt) for prompt in ("fox", "owl", "cat") for name in ("ours", "theirs")]
    assert set(figures) == {"ours", "theirs"} and all(set(row) == {"seconds", "cpu_s"} for row in figures.values())
