"""Look of the page in one place: Gradio theme, style sheet, page script and the colours of regions.

Fonts are those of the visitor's system: nothing is fetched from elsewhere. No HTML of answers is built here.
"""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr

REGION_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
"""Okabe and Ito's colours, which colour-blind people can tell apart; a number next to each says the same."""
SANS = ("Inter", "ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans SC", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def region_colour(number: int) -> tuple[str, str]:
    """Colour of the thing with this number (from 1) and the colour of text upon it, both ``#rrggbb``."""
    colour = REGION_COLOURS[(number - 1) % len(REGION_COLOURS)]
    return colour, "#ffffff" if _luminance(colour) < 0.18 else "#101114"


def _luminance(colour: str) -> float:
    """Relative luminance 0..1 (WCAG)."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@cache
def asset(name: str) -> str:
    """Text of a file in ``ui/static``."""
    return files("unified_demo.ui").joinpath("static", name).read_text(encoding="utf-8")


def page_head() -> str:
    """Style and script for the page's head: in the head they are not rewritten by Gradio, and they run before the first paint."""
    scripts = [f"<script>{asset(name)}</script>" for name in ("page.js", "viewer.js", "camera.js")]
    return "\n".join((f"<style>{asset('style.css')}</style>", *scripts))


def build_theme() -> "gr.themes.Base":
    """A quiet theme; most of the look is in ``style.css``."""
    import gradio as gr

    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=list(SANS),
        font_mono=list(MONO),
    ).set(
        body_background_fill="#faf9f7",
        body_background_fill_dark="#131312",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1c1b1a",
        background_fill_secondary="#f4f3f0",
        background_fill_secondary_dark="#242321",
        border_color_primary="#e5e2dc",
        border_color_primary_dark="#33312e",
        block_border_width="0px",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_shadow="none",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1c1b1a",
        body_text_color="#1d1c1a",
        body_text_color_dark="#f1efea",
        body_text_color_subdued="#6b6760",
        body_text_color_subdued_dark="#a6a199",
    )
