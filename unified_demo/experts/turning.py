"""Pictures turned and mirrored: what words ask for, and the picture as it is then. No model is used here."""

import re

from PIL import Image

TURNS: dict[str, Image.Transpose] = {
    "left": Image.Transpose.ROTATE_90, "right": Image.Transpose.ROTATE_270, "over": Image.Transpose.ROTATE_180,
    "mirrored": Image.Transpose.FLIP_LEFT_RIGHT, "flipped": Image.Transpose.FLIP_TOP_BOTTOM,
}  # fmt: skip
"""By a quarter to the left or right, by half; left and right, or top and bottom, exchanged."""
_WHAT = r"(?: (?:it|this|that|(?:the|this|that|my) (?:whole |entire )?(?:picture|image|photo|photograph|drawing)))?"
_HOW = (
    r"(?: (?:by|around|round|over|upside down|horizontally|vertically|sideways|left to right|top to bottom|(?:to the )?(?:left|right)"
    r"|(?:counter-?|anti-?)?clockwise|\d{2,3} ?(?:degrees?|°)?|a quarter|half(?: a turn)?|once))*"
)
_WISH = re.compile(rf"(?:please )?(?P<verb>rotate|turn|flip|mirror){_WHAT}(?P<how>{_HOW})")
_ANGLE = re.compile(r"\d{2,3}")
_BACK = re.compile(r"\b(?:left|counter-?clockwise|anti-?clockwise)\b(?! to)")


def read_turn(words: str) -> str:
    """A key of TURNS; empty for words that ask for anything else, and for angles that leave no upright rectangle."""
    found = _WISH.fullmatch(" ".join(words.lower().split()).rstrip(".!? "))
    if not found or (found["verb"] == "turn" and not found["how"].strip()):
        return ""
    how = found["how"]
    if found["verb"] in ("flip", "mirror"):
        return "flipped" if re.search("vertical|upside|top", how) else "mirrored"
    if "upside" in how or "half" in how:
        return "over"
    angle = _ANGLE.search(how)
    if angle and int(angle.group()) not in (90, 180, 270):
        return ""
    quarters = (int(angle.group()) // 90 if angle else 1) * (-1 if _BACK.search(how) else 1)
    return ("", "right", "over", "left")[quarters % 4]


def turned(picture: Image.Image, turn: str) -> Image.Image:
    """``turn``: a key of TURNS."""
    return picture.transpose(TURNS[turn])
