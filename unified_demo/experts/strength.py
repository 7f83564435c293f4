"""How strong an edit shall be, read from the words of its instruction."""

import re

_WORDS = {
    0.33: ("slightly", "a bit", "a little bit", "a little", "somewhat", "gently", "subtly", "lightly"),
    1.0: ("completely", "strongly", "very strongly", "fully", "totally", "entirely"),
}
_PERCENT = re.compile(r"\s*,?\s*\b(?:by |at |with )?(\d{1,3})\s?(?:%|per ?cent)(?: strength)?", re.IGNORECASE)


def read_strength(instruction: str, asked: float | None, usual: float) -> tuple[str, float]:
    """(the instruction without words of strength, the strength 0..1); ``asked``, the setting, wins over words, words over ``usual``."""
    said = usual
    if found := _PERCENT.search(instruction):
        instruction, said = _PERCENT.sub("", instruction), min(int(found[1]), 100) / 100
    for strength, words in _WORDS.items():
        pattern = re.compile(r"\b(?:" + "|".join(sorted(words, key=len, reverse=True)) + r")\b\s*", re.IGNORECASE)
        if pattern.search(instruction):
            instruction, said = pattern.sub("", instruction), strength
    strength = said if asked is None else asked
    return " ".join(instruction.split()).strip(" ,"), min(max(strength, 0.0), 1.0)
